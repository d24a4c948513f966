// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `images/versions`: what is fetched, and from where.

use std::{fs, path::Path};

use anyhow::{Context, Result, anyhow};
use irqbed_archive::mirror::Suite;

/// What stands behind a kernel's name for another flavour of it.
const FLAVOURS: [&str; 2] = ["-rt", "-cloud"];

/// The file: variables of the shell.
pub struct Versions {
    text: String,
}

/// A stock kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The name it is asked for by.
    pub name: String,
    /// The archive it is in.
    pub archive: String,
    /// The three parts of its release: what is before the number that a newer one has another
    /// of, that number, and what is behind it.
    pub release: [String; 3],
}

/// A compiler that kernels were built with.
pub struct Compiler<'a> {
    pub archive: &'a str,
    pub package: &'a str,
    pub version: &'a str,
}

impl Versions {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path);
        let text =
            text.with_context(|| format!("these are no sources of irqbed: {}", path.display()))?;
        Ok(Self { text })
    }

    /// The value of a variable; empty where it is not set.
    pub fn get(&self, name: &str) -> &str {
        let value = |line: &'_ str| -> Option<usize> {
            let value = line.strip_prefix(name)?.strip_prefix('=')?;
            Some(line.len() - value.len())
        };
        let mut begin = 0;
        for line in self.text.split_inclusive('\n') {
            if let Some(skipped) = value(line) {
                let rest = &self.text[begin + skipped..];
                let (value, _) = match rest.strip_prefix('\'') {
                    Some(quoted) => quoted.split_once('\'').unwrap_or((quoted, "")),
                    None => rest.split_once('\n').unwrap_or((rest, "")),
                };
                return value;
            }
            begin += line.len();
        }
        ""
    }

    /// The name of the guest's kernel where no other is asked for.
    pub fn stock_kernel(&self) -> &str {
        self.get("KERNEL")
    }

    /// The kernel that checks.
    pub fn debug_kernel(&self) -> String {
        format!("{}-debug", self.stock_kernel())
    }

    /// The suites of an archive.
    pub fn suites(&self, archive: &str) -> Result<Vec<Suite>> {
        let suites = self.get(&format!("SUITES_{archive}"));
        let suites = suites.split_whitespace().map(str::parse);
        suites
            .collect::<Result<_, String>>()
            .map_err(|error| anyhow!("images/versions: the suites of {archive}: {error}"))
    }

    /// The stock kernels, with their flavours.
    pub fn kernels(&self) -> Vec<Kernel> {
        let mut kernels = Vec::new();
        for line in self.get("KERNELS").lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let [name, archive, fixed, number, rest] = words[..] else {
                continue;
            };
            for flavour in [""].into_iter().chain(FLAVOURS) {
                // The flavour stands before the architecture.
                let rest = rest.strip_suffix("-amd64").unwrap_or(rest);
                kernels.push(Kernel {
                    name: format!("{name}{flavour}"),
                    archive: archive.to_owned(),
                    release: [
                        fixed.to_owned(),
                        number.to_owned(),
                        format!("{rest}{flavour}-amd64"),
                    ],
                });
            }
        }
        kernels
    }

    /// The compiler of this major version.
    pub fn compiler(&self, major: u32) -> Option<Compiler<'_>> {
        let lines = self.get("COMPILERS").lines();
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .find_map(|words| match words[..] {
                [number, archive, package, version] if number == major.to_string() => {
                    Some(Compiler {
                        archive,
                        package,
                        version,
                    })
                }
                _ => None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions() -> Versions {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../versions");
        Versions::read(Path::new(path)).unwrap()
    }

    #[test]
    fn values_are_those_that_a_shell_has() {
        let versions = Versions {
            text: "A=1:2.3+x~1\n# B=3\nAB='one two'\nC='\nx 1\ny 2\n'\nD=".to_owned(),
        };
        for (name, value) in [
            ("A", "1:2.3+x~1"),
            ("AB", "one two"),
            ("C", "\nx 1\ny 2\n"),
            ("B", ""),
            ("D", ""),
        ] {
            assert_eq!(versions.get(name), value, "{name}");
        }
    }

    #[test]
    fn kernels_have_flavours() {
        let versions = versions();
        let kernels = versions.kernels();
        assert_eq!(kernels[0].name, versions_first(&versions));
        let rt = kernels
            .iter()
            .find(|kernel| kernel.name == "7.3-rt")
            .unwrap();
        let [fixed, number, rest] = &rt.release;
        assert_eq!((fixed.as_str(), rest.as_str()), ("7.3.", "+deb13-rt-amd64"));
        assert!(number.parse::<u32>().is_ok());
        for kernel in &kernels {
            assert!(!versions.suites(&kernel.archive).unwrap().is_empty());
        }
        assert!(
            kernels
                .iter()
                .any(|kernel| kernel.name == versions.stock_kernel())
        );
    }

    fn versions_first(versions: &Versions) -> &str {
        versions.get("KERNELS").split_whitespace().next().unwrap()
    }

    #[test]
    fn compilers_are_found_by_their_major_version() {
        let versions = versions();
        assert_eq!(versions.compiler(12).unwrap().package, "gcc-12");
        assert!(versions.compiler(2).is_none());
    }
}
