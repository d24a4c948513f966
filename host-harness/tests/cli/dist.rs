// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A release, unpacked somewhere else where nobody may write, with no compiler to be
//! found.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    program::{Ended, Running, irqbed},
    sandbox::Sandbox,
    sources::{compiles, copy, repository},
};

/// What every system has, and no compiler.
const TOOLS: &[&str] = &[
    "awk", "bash", "cat", "cmp", "cp", "dirname", "echo", "env", "expr", "find", "flock",
    "getconf", "grep", "id", "ln", "ls", "mkdir", "mv", "nproc", "pwd", "readlink", "rm", "sed",
    "sh", "sort", "stat", "tail", "touch", "tr", "true", "uname", "which", "xargs",
];

/// Where the release puts what it fetches.
fn home(sandbox: &Sandbox) -> PathBuf {
    sandbox.own("home")
}

fn succeeds(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {output:#?}");
}

/// What was fetched for another kernel, as if it had been for a release of this version: no
/// test fetches it anew. Whether it is there.
fn lend_kernel(home: &Path, name: &str, compiler: &str) -> bool {
    let store = repository().join(".irqbed");
    let fetched = home.join(env!("CARGO_PKG_VERSION"));
    for part in [
        format!("kernels/{name}/kernel"),
        format!("compilers/{compiler}"),
    ] {
        let (from, to) = (store.join(&part), fetched.join(&part));
        if !from.is_dir() {
            return false;
        }
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        symlink(from, to).expect("a link");
    }
    true
}

/// Runs the program of the release, which finds nothing but what it came with.
fn run(sandbox: &Sandbox, tools: &Path, program: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(sandbox.own(""))
        .env_clear()
        .env("PATH", tools)
        .env("TMPDIR", sandbox.tmp())
        .env("IRQBED_HOME", home(sandbox))
        .env("XDG_RUNTIME_DIR", sandbox.run());
    Running::start(sandbox, command).wait()
}

/// Packs the programs that are there: static ones cost minutes.
fn pack(script: &str, archive: &Path) {
    let programs = Path::new(env!("CARGO_BIN_EXE_irqbed")).parent();
    succeeds(
        Command::new(repository().join("images").join(script))
            .arg(archive)
            .arg(programs.expect("a folder")),
    );
}

fn untar(archive: &Path, into: &Path) {
    let mut tar = Command::new("tar");
    succeeds(tar.arg("-xf").arg(archive).arg("-C").arg(into));
}

/// A blob of an image, by its digest.
fn blob(image: &Path, digest: &Value) -> PathBuf {
    let hash = digest
        .as_str()
        .and_then(|text| text.strip_prefix("sha256:"));
    image.join("blobs/sha256").join(hash.expect("a hash"))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

/// The pipeline of a project that `irqbed new` began here, from a checkout of it: nothing that
/// names a path of this machine is there.
fn a_pipeline_tests_a_project(sandbox: &Sandbox, archive: &Path) {
    let begun = sandbox.own("begun");
    succeeds(&mut irqbed(
        sandbox,
        &["new", "card", "--dir", begun.to_str().expect("UTF-8")],
    ));
    let checkout = sandbox.own("checkout");
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        succeeds(git.arg("-C").arg(&begun).args(arguments));
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    fs::create_dir(&checkout).expect("a folder");
    git(&[
        "checkout-index",
        "--all",
        &format!("--prefix={}/", checkout.display()),
    ]);
    assert!(!checkout.join("irqbed").exists());

    let sum = Command::new("sha256sum").arg(archive).output();
    let sum = String::from_utf8(sum.expect("it runs").stdout).expect("UTF-8");
    let sum = sum.split(' ').next().expect("a sum");
    let pipeline = |sum: &str| {
        compiles(sandbox, &checkout, "./ci.sh")
            .env("IRQBED_RELEASE", format!("file://{}", archive.display()))
            .env("IRQBED_SHA256", sum)
            .output()
            .expect("it runs")
    };
    let refused = pipeline("");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("IRQBED_SHA256: is not set"),
        "{said}"
    );
    let refused = pipeline(&"0".repeat(64));
    assert!(!refused.status.success() && !checkout.join("irqbed/program").exists());
    let tested = pipeline(sum);
    assert!(tested.status.success(), "{tested:#?}");
    let verdict = fs::read_to_string(checkout.join("irqbed/verdict.xml")).expect("a verdict");
    assert!(verdict.contains("failures=\"0\""), "{verdict}");
}

/// A kernel goes, and with it the compiler that it alone needs.
fn the_store_shrinks(sandbox: &Sandbox, tools: &Path, program: &Path) {
    let store =
        |arguments: &[&str]| run(sandbox, tools, program, &[&["store"], arguments].concat());
    let listed = store(&[]);
    assert_eq!(listed.status.code(), Some(0), "{listed:#?}");
    for part in ["kernels/7.3\n", "compilers/gcc-14\n"] {
        assert!(listed.stdout.contains(part), "{listed:#?}");
    }
    store(&["remove", "4.2"]).assert_bad_input(&["there is no kernel \"4.2\""]);
    store(&["remove", "6.12"]).assert_refused(&["the guest's own kernel"]);
    store(&["remove", "6.1"]).assert_refused(&["the kernel 6.1 is not here"]);
    let removed = store(&["remove", "7.3"]);
    assert!(removed.stdout.starts_with("removed 7.3, "), "{removed:#?}");
    let pruned = store(&["prune"]);
    let reason = "compilers/gcc-14 (can go: of no kernel that is here)";
    assert!(pruned.stdout.contains(reason), "{pruned:#?}");
    let listed = store(&[]);
    assert!(
        !listed.stdout.contains("7.3") && !listed.stdout.contains("gcc-14"),
        "{listed:#?}"
    );
    // What was lent is not the store's.
    assert!(repository().join(".irqbed/kernels/7.3/kernel").is_dir());
}

#[test]
fn a_container_s_image_measures_and_builds_with_nothing_of_the_system() {
    const INSIDE: &str = r#"
        mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" || exit 125
        root=$1 && shift && exec chroot "$root" /usr/bin/env -i "$@""#;
    let namespaces = [
        "--user",
        "--map-root-user",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
    ];
    let unshare = |root: &Path| {
        let mut command = Command::new("unshare");
        command
            .args(namespaces)
            .args(["sh", "-c", INSIDE, "sh"])
            .arg(root);
        command
    };
    if unshare(Path::new("/"))
        .arg("true")
        .output()
        .is_ok_and(|ran| !ran.status.success())
    {
        eprintln!("skipped: an ordinary user can make no namespaces here");
        return;
    }
    let sandbox = Sandbox::new();
    let (archive, image) = (sandbox.own("image.tar"), sandbox.own("image"));
    let root = sandbox.own("root");
    pack("container.sh", &archive);
    for folder in [&image, &root] {
        fs::create_dir(folder).expect("a folder");
    }
    untar(&archive, &image);
    fs::remove_file(&archive).expect("it is ours");
    let index = json(&image.join("index.json"));
    let manifest = json(&blob(&image, &index["manifests"][0]["digest"]));
    for layer in manifest["layers"].as_array().expect("layers") {
        untar(&blob(&image, &layer["digest"]), &root);
    }
    let config = json(&blob(&image, &manifest["config"]["digest"]));
    let config = &config["config"];
    let words = |key: &str| {
        let words = config[key].as_array().expect("a list").iter();
        words
            .map(|word| word.as_str().expect("text").to_owned())
            .collect::<Vec<_>>()
    };
    let driver = copy(&sandbox, "examples/scratch");
    succeeds(
        Command::new("cp")
            .arg("-r")
            .arg(driver)
            .arg(root.join("driver")),
    );
    for (arguments, answer) in [
        (
            &[
                "bench",
                "--accel=tcg",
                "--clock=instructions",
                "--events=100",
            ][..],
            "delivered 100",
        ),
        (&["build", "/driver"], "/driver/scratch.ko"),
    ] {
        let mut command = unshare(&root);
        command
            .args(words("Env"))
            .args(words("Entrypoint"))
            .args(arguments);
        let ended = Running::start(&sandbox, command).wait();
        assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
        assert!(ended.stdout.contains(answer), "{ended:#?}");
    }
    sandbox.assert_nothing_left();
}

#[test]
fn an_unpacked_release_measures_builds_and_tests_with_what_it_came_with() {
    let sandbox = Sandbox::new();
    let tools = sandbox.tools(TOOLS);
    // Not compressed, which costs time.
    let archive = sandbox.own("irqbed.tar");
    pack("dist.sh", &archive);
    let place = sandbox.own("unpacked");
    fs::create_dir(&place).expect("a folder");
    untar(&archive, &place);
    a_pipeline_tests_a_project(&sandbox, &archive);
    fs::remove_file(&archive).expect("it is ours");
    succeeds(Command::new("chmod").args(["-R", "a-w"]).arg(&place));
    let mut folders = fs::read_dir(&place).expect("a folder");
    let release = folders.next().expect("one").expect("an entry").path();
    let program = release.join("bin/irqbed");

    let ended = run(
        &sandbox,
        &tools,
        &program,
        &[
            "bench",
            "--accel=tcg",
            "--clock=instructions",
            "--events=100",
        ],
    );
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    assert!(
        ended.stdout.contains("raised 100 = delivered 100"),
        "{ended:#?}"
    );

    let driver = copy(&sandbox, "examples/scratch");
    let folder = driver.to_str().expect("UTF-8");
    let ended = run(&sandbox, &tools, &program, &["build", folder]);
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    let built = driver.join("scratch.ko");
    assert_eq!(ended.stdout.trim(), built.to_str().expect("UTF-8"));
    let scenario = driver.join("test.toml");
    let ended = run(
        &sandbox,
        &tools,
        &program,
        &["test", "--accel=tcg", scenario.to_str().expect("UTF-8")],
    );
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");

    let test = ["test", "--accel=tcg", "--kernel=7.3", "--device=event"];
    let with = ["--module=scratch.ko", "--agent=check.sh"].map(|option| {
        let (name, file) = option.split_once('=').expect("an option");
        format!("{name}={}", driver.join(file).display())
    });
    let test: Vec<_> = test
        .into_iter()
        .chain(with.iter().map(String::as_str))
        .collect();
    let ended = run(&sandbox, &tools, &program, &test);
    ended.assert_bad_input(&["run `irqbed kernel 7.3`"]);
    let ended = run(&sandbox, &tools, &program, &["kernel", "6.12"]);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""));
    if lend_kernel(&home(&sandbox), "7.3", "gcc-14") {
        let ended = run(&sandbox, &tools, &program, &["kernel", "7.3"]);
        assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
        let build = ["build", folder, "--kernel=7.3"];
        let ended = run(&sandbox, &tools, &program, &build);
        assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
        let ended = run(&sandbox, &tools, &program, &test);
        assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
        the_store_shrinks(&sandbox, &tools, &program);
    } else {
        eprintln!("skipped: `./just kernel 7.3` was not run");
    }
    sandbox.assert_nothing_left();
    succeeds(Command::new("chmod").args(["-R", "u+w"]).arg(&place));
}
