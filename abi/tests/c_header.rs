// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The module's C header is made from this crate and kept in the tree.

use std::{fmt::Write, path::Path};

use cbindgen::{Builder, Config, Language, Style};
use irqbed_abi::{
    LAYOUTS,
    genetlink::{FAMILY_NAME, MCGRP_EVENTS},
    queue::{IOC_LISTEN, IOC_STOP, IOC_WAIT},
    reply::IOC_REPLY,
};

const HEADER: &str = "../guest-kmod/irqbed_abi.h";
const SOURCES: [&str; 9] = [
    "pci.rs",
    "regs.rs",
    "ring.rs",
    "trace.rs",
    "netlink.rs",
    "genetlink.rs",
    "queue.rs",
    "reply.rs",
    "counters.rs",
];

/// The ioctls as linux/ioctl.h makes their numbers, which cbindgen does not know:
/// name, macro, number, argument, and the number that this crate has.
const IOCTLS: [(&str, &str, u32, Option<&str>, u32); 4] = [
    ("IOC_LISTEN", "_IOW", 1, Some("ListenRequest"), IOC_LISTEN),
    ("IOC_STOP", "_IO", 2, None, IOC_STOP),
    ("IOC_WAIT", "_IOWR", 3, Some("WaitRequest"), IOC_WAIT),
    ("IOC_REPLY", "_IOW", 4, Some("ReplyRequest"), IOC_REPLY),
];

/// `EventRecord` to `irqbed_event_record`.
fn c_name(rust: &str) -> String {
    let mut name = String::from("irqbed");
    for c in rust.chars() {
        if c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

fn assertions() -> String {
    let mut out = String::new();
    for layout in LAYOUTS {
        let name = c_name(layout.name);
        writeln!(
            out,
            "static_assert(sizeof(struct {name}) == {});",
            layout.size
        )
        .unwrap();
        for (field, offset) in layout.fields {
            writeln!(
                out,
                "static_assert(offsetof(struct {name}, {field}) == {offset});"
            )
            .unwrap();
        }
    }
    for (name, _, _, _, value) in IOCTLS {
        writeln!(out, "static_assert(IRQBED_{name} == {value:#x});").unwrap();
    }
    out.push_str("\n#endif /* IRQBED_ABI_H */");
    out
}

fn generate() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = Config {
        language: Language::C,
        style: Style::Tag,
        header: Some(
            "/* SPDX-License-Identifier: GPL-2.0 */\n\
             /*\n * Made from the Rust crate irqbed-abi by its test c_header; do not edit.\n */\n\
             #ifndef IRQBED_ABI_H\n#define IRQBED_ABI_H\n"
                .into(),
        ),
        no_includes: true,
        // cbindgen leaves text out.
        after_includes: Some(format!(
            "#include <linux/build_bug.h>\n#include <linux/ioctl.h>\n#include <linux/stddef.h>\n#include <linux/types.h>\n\n\
             #define FAMILY_NAME \"{FAMILY_NAME}\"\n#define MCGRP_EVENTS \"{MCGRP_EVENTS}\""
        )),
        trailer: Some(assertions()),
        tab_width: 8,
        documentation: true,
        documentation_style: cbindgen::DocumentationStyle::Doxy,
        usize_is_size_t: true,
        ..Config::default()
    };
    for layout in LAYOUTS {
        config
            .export
            .rename
            .insert(layout.name.into(), c_name(layout.name));
        config.export.include.push(layout.name.into());
    }
    let mut builder = Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(root.join("src").join(source));
    }
    let mut bytes = Vec::new();
    builder
        .generate()
        .expect("cbindgen reads the crate")
        .write(&mut bytes);
    let text = String::from_utf8(bytes).expect("a header is text");
    text.lines().map(in_kernel_style).collect()
}

/// One line of cbindgen's output as the kernel writes it.
fn in_kernel_style(line: &str) -> String {
    let code = line.trim_start_matches("        ");
    let tabs = "\t".repeat((line.len() - code.len()) / 8);
    let code = match code {
        "/**" => "/*".to_owned(),
        guard if guard.ends_with("IRQBED_ABI_H") => guard.to_owned(),
        comment if comment.starts_with(" *") => comment.to_owned(),
        code => by_ioctl_macro(code)
            .replace("#define ", "#define IRQBED_")
            .replace("uint64_t", "__u64")
            .replace("uint32_t", "__u32")
            .replace("uint16_t", "__u16"),
    };
    format!("{tabs}{code}\n")
}

/// The definition of an ioctl's number in the words of linux/ioctl.h; any other
/// line as it is.
fn by_ioctl_macro(code: &str) -> String {
    let defined = code
        .strip_prefix("#define ")
        .and_then(|rest| rest.split(' ').next());
    let Some((name, by, number, argument, _)) =
        IOCTLS.iter().find(|ioctl| Some(ioctl.0) == defined)
    else {
        return code.to_owned();
    };
    let argument = argument.map_or_else(String::new, |rust| format!(", struct {}", c_name(rust)));
    format!("#define {name} {by}(0xb5, {number}{argument})")
}

/// `IRQBED_BLESS=1 cargo test -p irqbed-abi` writes the header anew.
#[test]
fn the_c_header_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(HEADER);
    let fresh = generate();
    if std::env::var_os("IRQBED_BLESS").is_some() {
        std::fs::write(&path, &fresh).expect("the header can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == fresh,
        "{} is stale: run `IRQBED_BLESS=1 cargo test -p irqbed-abi`",
        path.display()
    );
}
