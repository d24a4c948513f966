// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed test --coverage`: which lines of a driver were executed.

use std::{collections::BTreeMap, fs};

use crate::{
    program::run,
    sandbox::Sandbox,
    sources::{build, copy, repository},
    test::script,
};

/// What a trace file of lcov says of lines and functions.
#[derive(Debug, Default)]
struct Trace {
    /// How often each line was executed.
    lines: BTreeMap<usize, u32>,
    functions: BTreeMap<String, u32>,
    /// The ways of each line's jumps.
    ways: BTreeMap<usize, Vec<u32>>,
}

impl Trace {
    fn parse(text: &str) -> Self {
        let mut trace = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let words: Vec<&str> = value.split(',').collect();
            let number = |at: usize| words[at].parse::<u32>().expect("a number");
            match key {
                "DA" => drop(trace.lines.insert(number(0) as usize, number(1))),
                "FNDA" => drop(trace.functions.insert(words[1].to_owned(), number(0))),
                "BRDA" => {
                    let ways = trace.ways.entry(number(0) as usize).or_default();
                    ways.push(number(3));
                }
                _ => {}
            }
        }
        trace
    }

    /// How often the only line with this text was executed.
    #[track_caller]
    fn of(&self, source: &str, text: &str) -> Option<u32> {
        self.lines.get(&number_of(source, text)).copied()
    }
}

#[track_caller]
fn number_of(source: &str, text: &str) -> usize {
    let lines = (1..).zip(source.lines());
    let found: Vec<usize> = lines
        .filter_map(|(number, line)| line.contains(text).then_some(number))
        .collect();
    assert_eq!(found.len(), 1, "{text}");
    found[0]
}

/// Some lines of a driver, and whether a run of it executes them.
const LINES: &[(&str, u32)] = &[
    // A hard interrupt.
    ("wake_up(&edu->wait);", 1),
    // The start, whose memory is given back, and the end.
    ("module_pci_driver(edu_driver);", 1),
    ("misc_deregister(&edu->misc);", 1),
    // A system call.
    ("command |= EDU_DMA_TO_MEMORY;", 1),
    // What no run of these does.
    ("\"this is no edu\\n\"", 0),
    (
        "return edu_transfer(dev_get_drvdata(dev), 0, EDU_BUFFER_SIZE, false);",
        0,
    ),
];

#[test]
fn the_lines_that_a_driver_has_executed_are_known_over_several_scenarios() {
    let sandbox = Sandbox::new();
    let folder = copy(&sandbox, "examples/edu");
    build(&folder);
    let source = fs::read_to_string(folder.join("edu.c")).expect("a source");
    let path = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    let (trace, page) = (path("out.info"), path("out.html"));
    let ended = run(
        &sandbox,
        &[
            "test",
            &path("msi.toml"),
            &path("intx.toml"),
            "--coverage",
            &trace,
            "--coverage-html",
            &page,
        ],
    );
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    assert!(ended.stderr.contains("/edu.c: "), "{ended:#?}");
    let text = fs::read_to_string(&trace).expect("a trace file");
    assert!(text.contains(&format!("SF:{}\n", path("edu.c"))), "{text}");
    // No header of the kernel's.
    assert_eq!(text.matches("SF:").count(), 1, "{text}");
    let trace = Trace::parse(&text);
    for (text, executed) in LINES {
        assert_eq!(trace.of(&source, text), Some(*executed), "{text}");
    }
    for (function, executed) in [("edu_irq", 1), ("edu_probe", 1), ("edu_suspend", 0)] {
        assert_eq!(trace.functions.get(function), Some(&executed), "{function}");
    }
    // Read and write; an error that never comes.
    let ways = |text: &str| trace.ways.get(&number_of(&source, text));
    assert_eq!(ways("if (to_memory)"), Some(&vec![1, 1]));
    let one = ways("if (!edu->regs)").expect("a jump");
    assert_eq!(one.iter().sum::<u32>(), 1, "{one:?}");
    let shown = fs::read_to_string(&page).expect("a page");
    assert!(shown.contains("command |= EDU_DMA_TO_MEMORY;"));
    sandbox.assert_nothing_left();
}

#[test]
fn what_cannot_be_covered_says_why() {
    let sandbox = Sandbox::new();
    let check = script(&sandbox, "check.sh", "true");
    let trace = sandbox.own("out.info");
    let trace = trace.to_str().expect("UTF-8");
    let kvm = [
        "test",
        "--agent",
        &check,
        "--coverage",
        trace,
        "--accel=kvm",
    ];
    run(&sandbox, &kvm).assert_bad_input(&["coverage needs --accel tcg"]);
    let nowhere = ["test", "--agent", &check, "--coverage", "/nowhere/out.info"];
    run(&sandbox, &nowhere).assert_bad_input(&["/nowhere/out.info"]);

    // One of the kernel's own has no debug information, and a start that fails leaves nothing.
    let folder = sandbox.own("failing");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("Kbuild"), "obj-m := failing.o\n").expect("a file");
    fs::write(
        folder.join("failing.c"),
        "#include <linux/module.h>\n\
         static int __init failing_init(void)\n{\n\treturn -EIO;\n}\n\
         module_init(failing_init);\nMODULE_LICENSE(\"GPL\");\n",
    )
    .expect("a file");
    let module = build(&folder);
    let module = module.to_str().expect("UTF-8");
    let ended = run(
        &sandbox,
        &[
            "test",
            "--device=edu",
            "--module=uio",
            "--module",
            module,
            "--coverage=-",
        ],
    );
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    for words in [
        "no coverage of uio: it has no debug information",
        "no line of failing counts as executed",
        " lines (0 %)",
    ] {
        assert!(ended.stderr.contains(words), "no {words:?}: {ended:#?}");
    }
    assert!(ended.stdout.starts_with("TN:\nSF:"), "{ended:#?}");
    sandbox.assert_nothing_left();
}

#[test]
fn a_module_for_a_kernel_without_debug_information_has_its_own() {
    let sandbox = Sandbox::new();
    if !repository().join(".irqbed/kernels/6.12-debug").is_dir() {
        eprintln!("skipped: `./just kernel 6.12-debug` was not run");
        return;
    }
    let folder = copy(&sandbox, "examples/first");
    let path = folder.to_str().expect("UTF-8");
    let ended = run(&sandbox, &["build", "--kernel=6.12-debug", path]);
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    let module = fs::read(ended.stdout.trim()).expect("a module");
    let name = b".debug_line";
    assert!(module.windows(name.len()).any(|window| window == name));
}
