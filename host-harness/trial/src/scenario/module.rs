// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The modules of a scenario, and the parameters they get.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use irqbed_machine::kmod::ModuleInfo;
use object::read::elf::FileHeader;

use super::{ScenarioError, stock::canonical};

/// A module to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Where it lies in the guest.
    pub path: String,
    /// Its name once it is loaded.
    pub name: String,
    /// Its parameters, as the kernel takes them.
    pub parameters: String,
    /// Where its file came from.
    pub folder: PathBuf,
    /// The patterns of the devices it is for.
    pub aliases: Vec<String>,
}

/// The name of a module; `Err` when the guest's kernel cannot load it.
pub(super) fn check(path: &Path, image: &[u8], release: &str) -> Result<ModuleInfo, ScenarioError> {
    let no_module = |why| ScenarioError::NoModule {
        path: path.to_owned(),
        why,
    };
    for (magic, why) in [
        (&b"\xfd7zXZ"[..], "it is compressed; unpack it by `xz -d`"),
        (
            b"\x28\xb5\x2f\xfd",
            "it is compressed; unpack it by `zstd -d`",
        ),
        (b"\x1f\x8b", "it is compressed; unpack it by `gzip -d`"),
    ] {
        if image.starts_with(magic) {
            return Err(no_module(why));
        }
    }
    let header = object::elf::FileHeader64::<object::LittleEndian>::parse(image)
        .map_err(|_| no_module("it is no ELF file"))?;
    let endian = object::LittleEndian;
    if header.e_type(endian) != object::elf::ET_REL {
        return Err(no_module("it is a linked program or library"));
    }
    if header.e_machine(endian) != object::elf::EM_X86_64 {
        return Err(no_module("it is of another machine than x86-64"));
    }
    let info = ModuleInfo::of(image);
    match &info.release {
        _ if info.name.is_none() => Err(no_module("it has no name in .modinfo")),
        None => Err(no_module("it does not say for which kernel it is")),
        Some(built_for) if built_for != release => Err(ScenarioError::OtherKernel {
            path: path.to_owned(),
            built_for: built_for.clone(),
            release: release.to_owned(),
        }),
        Some(_) => Ok(info),
    }
}

/// Parameters as the kernel's parser takes them: `name=value ...`, a value with
/// spaces in quotes.
pub(super) fn parameters(
    module: &str,
    info: &ModuleInfo,
    given: &[(String, String)],
) -> Result<String, ScenarioError> {
    let mut words = Vec::new();
    for (name, value) in given {
        let refused = |why: String| ScenarioError::Parameter {
            module: module.to_owned(),
            parameter: format!("{name}={value}"),
            why,
        };
        // The kernel itself only warns of one. A module need not describe any.
        if !info.parameters.is_empty() && !info.parameters.contains(name) {
            let known = info.parameters.join(", ");
            return Err(refused(format!("it has: {known}")));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(refused("that is no name of a parameter".to_owned()));
        }
        // The kernel's parser knows no way to escape a quote.
        if value.contains(['"', '\0', '\n']) {
            return Err(refused("no quotes, no line ends".to_owned()));
        }
        words.push(match value.contains(char::is_whitespace) {
            true => format!("{name}=\"{value}\""),
            false => format!("{name}={value}"),
        });
    }
    Ok(words.join(" "))
}

/// Where a module comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleSource {
    /// A file of the user's.
    File(PathBuf),
    /// The guest's kernel, which has one of this name.
    Kernel(String),
}

impl ModuleSource {
    /// What a word on a command line means: a file's path, or the name of one of the
    /// kernel's modules.
    #[must_use]
    pub fn of_word(word: &str) -> Self {
        let is_file = word.contains('/') || Path::new(word).extension().is_some();
        match is_file {
            true => Self::File(word.into()),
            false => Self::Kernel(word.to_owned()),
        }
    }

    /// The name that the module probably has.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => canonical(&path.file_stem().unwrap_or_default().to_string_lossy()),
            Self::Kernel(name) => canonical(name),
        }
    }
}

impl fmt::Display for ModuleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Kernel(name) => name.fmt(f),
        }
    }
}

/// A module as the user gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenModule {
    /// Where it comes from.
    pub source: ModuleSource,
    /// Its parameters, in order.
    pub parameters: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn a_word_is_a_path_or_the_name_of_a_module() {
        let file = |word: &str| ModuleSource::of_word(word) == ModuleSource::File(word.into());
        assert!(file("x.ko") && file("./x") && file("a/x.ko"));
        assert!(!file("uio_pci_generic") && !file("vfio-pci"));
        assert_eq!(ModuleSource::of_word("a/my-driver.ko").name(), "my_driver");
        assert_eq!(ModuleSource::of_word("vfio-pci").name(), "vfio_pci");
    }

    #[test]
    fn parameters_are_passed_as_the_kernel_reads_them() {
        let info = ModuleInfo::default();
        let line = |name, value| parameters("m", &info, &given(name, value));
        assert_eq!(line("unit", "16").expect("a line"), "unit=16");
        assert_eq!(
            line("text", "two words").expect("a line"),
            "text=\"two words\""
        );
        for (name, value) in [("a b", "1"), ("", "1"), ("a", "\""), ("a", "\n")] {
            line(name, value).expect_err("refused");
        }
    }

    #[test]
    fn a_parameter_that_a_module_does_not_have_is_answered_with_those_it_has() {
        let info = ModuleInfo {
            parameters: vec!["delay".to_owned()],
            ..ModuleInfo::default()
        };
        let error = parameters("m", &info, &given("dely", "1")).expect_err("none such");
        assert!(error.to_string().contains("it has: delay"), "{error}");
    }

    #[test]
    fn what_is_no_module_is_refused() {
        let refused = |image: &[u8]| {
            check(Path::new("x.ko"), image, "6.12")
                .expect_err("refused")
                .to_string()
        };
        assert!(refused(b"\xfd7zXZ\0...").contains("xz -d"));
        assert!(refused(b"#!/bin/sh").contains("no ELF file"));
        let own = std::fs::read(std::env::current_exe().expect("a path")).expect("a file");
        assert!(refused(&own).contains("linked program"));
    }
}
