// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed doctor`: what this machine has, what will be used, and what to do
//! about the rest. It works before anything was fetched.

mod guest;
pub mod hints;
mod machine;

use std::{fmt::Write, path::PathBuf};

use irqbed_machine::artefacts::Artefacts;

/// What `./just setup` provides.
pub const SETUP: &str = "./just setup";

/// How a finding bears on a bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Ok,
    /// A bench runs, with less than could be had.
    Note,
    /// No bench without it.
    Missing,
}

impl Mark {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Missing => "missing",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it bears on a bench.
    pub mark: Mark,
    /// What was looked at, in a word or two.
    pub what: &'static str,
    /// What was found, one line.
    pub found: String,
    /// What the user can do, one line.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self {
            mark: Mark::Ok,
            what,
            found: found.into(),
            remedy: None,
        }
    }

    fn note(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            mark: Mark::Note,
            what,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn missing(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            mark: Mark::Missing,
            what,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// The parts of a guest, named even where there is no folder for them yet.
#[must_use]
pub fn artefacts() -> Artefacts {
    Artefacts::locate().unwrap_or_else(|_| Artefacts::below(PathBuf::from(".irqbed")))
}

/// Looks at everything a bench needs; takes a second or two.
#[must_use]
pub fn examine(artefacts: &Artefacts) -> Vec<Finding> {
    let mut findings = guest::examine(artefacts);
    findings.extend(machine::examine(artefacts));
    findings
}

/// Whether a bench can run.
#[must_use]
pub fn can_bench(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.mark != Mark::Missing)
}

/// One line per finding, one more for its remedy, and a last one that says
/// whether a bench can run.
#[must_use]
pub fn render(findings: &[Finding]) -> String {
    let width = findings
        .iter()
        .map(|finding| finding.what.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for Finding {
        mark,
        what,
        found,
        remedy,
    } in findings
    {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:7}  {what:width$}  {found}", mark.as_str());
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "{:7}  {:width$}  -> {remedy}", "", "");
        }
    }
    text.push_str(if can_bench(findings) {
        "\nready: ./just bench\n"
    } else {
        "\nnot ready: see what is missing above\n"
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_a_line_and_each_remedy_another() {
        let findings = [
            Finding::ok("QEMU", "11.1.3"),
            Finding::note("KVM", "there is no /dev/kvm", "use TCG"),
        ];
        assert_eq!(
            render(&findings),
            "ok       QEMU  11.1.3\n\
             note     KVM   there is no /dev/kvm\n\
             \x20              -> use TCG\n\
             \nready: ./just bench\n"
        );
    }

    #[test]
    fn notes_do_not_stop_a_bench_but_what_is_missing_does() {
        let note = Finding::note("a", "b", "c");
        assert!(can_bench(std::slice::from_ref(&note)));
        let findings = [note, Finding::missing("a", "b", "c")];
        assert!(!can_bench(&findings));
        assert!(render(&findings).ends_with("not ready: see what is missing above\n"));
    }

    #[test]
    fn before_the_setup_every_part_is_missing_and_has_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let below = |path: &str| folder.path().join("none").join(path);
        let artefacts = Artefacts {
            folder: below(""),
            fetched: below(""),
            qemu: below("qemu"),
            kernel: below("vmlinux"),
            kernel_build: below("build"),
            module: below("irqbed.ko"),
            initramfs: below("initramfs.cpio"),
            plugin: below("initramfs.cpio"),
        };
        let findings = examine(&artefacts);
        assert!(!can_bench(&findings));
        let missing: Vec<&str> = findings
            .iter()
            .filter(|finding| finding.mark == Mark::Missing)
            .map(|finding| finding.what)
            .collect();
        assert_eq!(missing, ["QEMU", "guest kernel", "driver", "initramfs"]);
        for finding in &findings {
            assert_eq!(
                finding.remedy.is_none(),
                finding.mark == Mark::Ok,
                "{finding:?}"
            );
            assert!(!finding.found.contains('\n'), "{finding:?}");
        }
    }
}
