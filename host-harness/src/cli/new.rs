// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed new`: a project of one's own to begin with: a device on the library, its
//! driver, the test of both in a guest, and the files of pipelines. Exit status 2 for a
//! name that cannot be, or a folder that exists. `irqbed link` ties a project to the
//! library and the program on this machine; no other file of it names a path.

use std::{
    env, fs,
    io::{self, ErrorKind},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, ensure};
use clap::Args;
use irqbed_machine::artefacts::Artefacts;

use super::{artefacts, bad_input, print};

/// The files of a project: their paths and texts, which call it `template`.
const FILES: [(&str, &str); 11] = [
    ("Cargo.toml", include_str!("../../template/manifest.toml")),
    (".gitignore", include_str!("../../template/gitignore")),
    ("src/main.rs", include_str!("../../template/src/main.rs")),
    (
        "driver/Kbuild",
        include_str!("../../template/driver/Kbuild"),
    ),
    (
        "driver/template.c",
        include_str!("../../template/driver/template.c"),
    ),
    ("check.sh", include_str!("../../template/check.sh")),
    ("test.toml", include_str!("../../template/test.toml")),
    (
        "tests/guest.rs",
        include_str!("../../template/tests/guest.rs"),
    ),
    ("ci.sh", include_str!("../../template/ci.sh")),
    (
        ".github/workflows/test.yml",
        include_str!("../../template/github/test.yml"),
    ),
    (
        ".gitlab-ci.yml",
        include_str!("../../template/gitlab-ci.yml"),
    ),
];
/// The folder of a project for what belongs to one machine.
const LINKS: &str = "irqbed";
/// What else a name of C cannot be.
const WORDS_OF_C: [&str; 32] = [
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else",
    "enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register", "return",
    "short", "signed", "sizeof", "static", "struct", "switch", "typedef", "union", "unsigned",
    "void", "while",
];

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name of device, driver and package: 2 to 31 of a-z, 0-9 and _, a letter first
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// The project's folder, which must not exist; NAME in this one where there is none
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct LinkArguments {
    /// The project's folder
    #[arg(value_name = "FOLDER", default_value = ".")]
    project: PathBuf,
}

/// What a Rust package, a C function and a kernel module can all be called.
fn name(text: &str) -> Result<String, String> {
    let is_word = text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !is_word || !(2..=31).contains(&text.len()) {
        return Err("use 2 to 31 of a-z, 0-9 and _, a letter first".to_owned());
    }
    if WORDS_OF_C.contains(&text) {
        return Err("this is a word of C: choose another name".to_owned());
    }
    Ok(text.to_owned())
}

/// `my_card` as a type's name, `MyCard`.
fn type_name(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    words.collect()
}

/// Some id that the devices here do not have; its owner changes it as he likes.
fn device_id(name: &str) -> String {
    let hash = name.bytes().fold(0_u16, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(u16::from(byte))
    });
    format!("{:04x}", 0x8000 | hash)
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { name, dir } = arguments;
    let parts = artefacts(None)?;
    let sources = sources(&parts)?;
    let folder = dir.clone().unwrap_or_else(|| PathBuf::from(name));
    let lock = fs::read_to_string(sources.join("Cargo.lock")).unwrap_or_default();
    let replaced = [
        ("7e57", device_id(name)),
        ("template", name.clone()),
        ("Template", type_name(name)),
        ("TEMPLATE", name.to_ascii_uppercase()),
    ];
    let filled = |text: &str| {
        replaced
            .iter()
            .fold(text.to_owned(), |text, (word, by)| text.replace(word, by))
    };
    match fs::create_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(bad_input(Exists(folder)));
        }
        created => created.with_context(|| format!("cannot create {}", folder.display()))?,
    }
    let mut files: Vec<_> = FILES
        .iter()
        .map(|(path, text)| (filled(path), filled(text)))
        .collect();
    // The versions that the library is tested with; cargo drops what is not needed.
    files.push(("Cargo.lock".to_owned(), lock));
    for (path, text) in files {
        write(&folder.join(&path), &text)
            .with_context(|| format!("cannot write {path} in {}", folder.display()))?;
    }
    write_links(sources, &folder)?;
    print(&format!(
        "{folder}/ has a device (src/main.rs), its driver (driver/{name}.c), and a test of both\n\
         in a guest (test.toml, check.sh). Next:\n\n  cd {folder} && cargo test\n",
        folder = folder.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Ties a project to this machine's library and program.
pub(super) fn link(arguments: &LinkArguments) -> anyhow::Result<ExitCode> {
    let project = &arguments.project;
    if !project.join("Cargo.toml").is_file() {
        return Err(bad_input(NoProject(project.clone())));
    }
    write_links(sources(&artefacts(None)?)?, project)?;
    Ok(ExitCode::SUCCESS)
}

/// The folder that the device library lies in, with what it needs.
fn sources(parts: &Artefacts) -> anyhow::Result<&Path> {
    let sources = parts.sources();
    let library = sources.join("device-model");
    ensure!(
        library.join("Cargo.toml").is_file(),
        "the device library is missing at {}",
        library.display()
    );
    Ok(sources)
}

fn write_links(sources: &Path, project: &Path) -> anyhow::Result<()> {
    let program = env::current_exe().context("cannot find this program")?;
    let links = project.join(LINKS);
    fs::create_dir_all(&links).with_context(|| format!("cannot create {}", links.display()))?;
    for (name, to) in [("sources", sources), ("program", &program)] {
        let link = links.join(name);
        let replaced = match fs::remove_file(&link) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => symlink(to, &link),
        };
        replaced.with_context(|| format!("cannot replace {}", link.display()))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)?;
    if text.starts_with("#!") {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("{0} exists: choose another name, or another --dir")]
struct Exists(PathBuf);

#[derive(Debug, thiserror::Error)]
#[error("there is no Cargo.toml in {0}: name the folder of a project that `irqbed new` began")]
struct NoProject(PathBuf);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_rust_c_and_the_kernel() {
        for good in ["my_card", "nic2", "ab"] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "a",
            "My",
            "my-card",
            "2nd",
            "_x",
            "struct",
            "größe",
            &"a".repeat(32),
        ] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_type_is_named_in_camel_case() {
        assert_eq!(type_name("my_card"), "MyCard");
        assert_eq!(type_name("nic_2_go"), "Nic2Go");
        assert_eq!(type_name("a__b_"), "AB");
    }
}
