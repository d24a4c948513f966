// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The parts of a guest: QEMU and what it runs with, kernel, headers, driver,
//! initial file system.

use std::{env, fs, path::Path};

use irqbed_machine::{
    accel::{self, KvmError},
    artefacts::{ArtefactError, Artefacts},
    host::{program, qemu_version},
};

use super::{Finding, SETUP};

pub(super) fn examine(artefacts: &Artefacts) -> Vec<Finding> {
    let mut findings = qemu(&artefacts.qemu);
    findings.push(kvm(accel::probe_kvm()));
    findings.push(kernel(artefacts));
    findings.push(headers(artefacts));
    findings.push(driver(artefacts));
    findings.push(initramfs(artefacts));
    findings
}

/// A path, and the variable that put it there.
fn shown(path: &Path, variable: &str) -> String {
    match env::var_os(variable) {
        Some(_) => format!("{} (by {variable})", path.display()),
        None => path.display().to_string(),
    }
}

fn qemu(path: &Path) -> Vec<Finding> {
    let place = shown(path, "IRQBED_QEMU");
    if !path.is_file() {
        let remedy = format!("{SETUP}, or set IRQBED_QEMU to a QEMU of 10.1 or newer");
        return vec![Finding::missing("QEMU", format!("none at {place}"), remedy)];
    }
    let version = match qemu_version(path) {
        Ok(version) => version,
        Err(error) => {
            let remedy = format!("unset IRQBED_QEMU, remove .irqbed/qemu, run {SETUP}");
            return vec![Finding::missing("QEMU", error.to_string(), remedy)];
        }
    };
    vec![
        Finding::ok("QEMU", format!("{version} at {place}")),
        vfio_user(program::output(path, &["-device", "vfio-user-pci,help"])),
        tcg(program::output(path, &["-accel", "help"])),
    ]
}

/// Some versions of QEMU fail when asked for a device they lack, some do not.
fn vfio_user(answer: Result<String, program::ProgramError>) -> Finding {
    const WHAT: &str = "vfio-user";
    match answer {
        Ok(text) if text.contains("vfio-user-pci options") => {
            Finding::ok(WHAT, "QEMU has the client, vfio-user-pci")
        }
        _ => Finding::missing(
            WHAT,
            "this QEMU has no vfio-user-pci and cannot reach the device",
            format!("QEMU 10.1 or newer has it: unset IRQBED_QEMU and run {SETUP}"),
        ),
    }
}

fn tcg(answer: Result<String, program::ProgramError>) -> Finding {
    match answer {
        Ok(text) if text.lines().any(|line| line.trim() == "tcg") => {
            Finding::ok("TCG", "runs the guest anywhere, and counts instructions")
        }
        _ => Finding::note(
            "TCG",
            "this QEMU has none: no --clock instructions, and no guest without KVM",
            format!("unset IRQBED_QEMU and run {SETUP}"),
        ),
    }
}

fn kvm(probe: Result<(), KvmError>) -> Finding {
    match probe {
        Ok(()) => Finding::ok("KVM", "runs a 64-bit guest and is used for the wall clock"),
        Err(error) => Finding::note("KVM", error.to_string(), error.remedy()),
    }
}

fn kernel(artefacts: &Artefacts) -> Finding {
    const WHAT: &str = "guest kernel";
    let place = shown(&artefacts.kernel, "IRQBED_KERNEL");
    if !artefacts.kernel.is_file() {
        let remedy = format!("{SETUP}, or set IRQBED_KERNEL and IRQBED_KDIR");
        return Finding::missing(WHAT, format!("none at {place}"), remedy);
    }
    if let Err(ArtefactError::NotAKernel(_)) = artefacts.check() {
        let remedy = format!("set IRQBED_KERNEL to a vmlinux or bzImage, or unset it; {SETUP}");
        return Finding::missing(WHAT, format!("{place} is no Linux kernel"), remedy);
    }
    let release = fs::read_to_string(artefacts.folder.join("kernel/release"));
    match release {
        Ok(release) if env::var_os("IRQBED_KERNEL").is_none() => {
            Finding::ok(WHAT, format!("{} at {place}", release.trim()))
        }
        _ => Finding::ok(WHAT, place),
    }
}

/// They are needed to build the driver, not to run it.
fn headers(artefacts: &Artefacts) -> Finding {
    const WHAT: &str = "kernel headers";
    let place = shown(&artefacts.kernel_build, "IRQBED_KDIR");
    if artefacts.kernel_build.join("Makefile").is_file() {
        return Finding::ok(WHAT, place);
    }
    let remedy = format!("{SETUP}, or set IRQBED_KDIR to those of IRQBED_KERNEL");
    Finding::note(
        WHAT,
        format!("none at {place}: the driver cannot be built"),
        remedy,
    )
}

fn driver(artefacts: &Artefacts) -> Finding {
    const WHAT: &str = "driver";
    let place = artefacts.module.display();
    if !artefacts.module.is_file() {
        return Finding::missing(WHAT, format!("none at {place}"), SETUP);
    }
    match artefacts.check() {
        Err(ArtefactError::WrongPair {
            built_for, release, ..
        }) => Finding::missing(
            WHAT,
            format!("built for kernel {built_for}, the guest's is {release}"),
            format!("set IRQBED_KERNEL and IRQBED_KDIR to a pair and run {SETUP}"),
        ),
        // What else may be wrong is said where it belongs.
        _ => Finding::ok(WHAT, place.to_string()),
    }
}

fn initramfs(artefacts: &Artefacts) -> Finding {
    const WHAT: &str = "initramfs";
    let place = artefacts.initramfs.display();
    match artefacts.initramfs.is_file() {
        true => Finding::ok(WHAT, format!("{place}, with the agent")),
        false => Finding::missing(WHAT, format!("none at {place}"), SETUP),
    }
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, process::Command};

    use super::*;
    use crate::doctor::Mark;

    /// A program that answers as a QEMU would. Another process writes it: what
    /// this one has open for writing, a child of another test may have too,
    /// and then it cannot be run.
    fn fake_qemu(folder: &Path, script: &str) -> PathBuf {
        let path = folder.join("qemu");
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod +x "$0""#;
        let status = Command::new("/bin/sh")
            .args(["-c", write])
            .arg(&path)
            .arg(script)
            .status();
        assert!(status.unwrap().success());
        path
    }

    fn marks(findings: &[Finding]) -> Vec<(&str, Mark)> {
        findings
            .iter()
            .map(|finding| (finding.what, finding.mark))
            .collect()
    }

    #[test]
    fn a_qemu_with_everything_is_ok() {
        let folder = tempfile::tempdir().unwrap();
        let script = "case $* in
            --version) echo 'QEMU emulator version 11.1.3 (made up)' ;;
            '-accel help') echo 'Accelerators supported:'; echo tcg ;;
            *) echo 'vfio-user-pci options:' ;;
            esac";
        let findings = qemu(&fake_qemu(folder.path(), script));
        assert_eq!(
            marks(&findings),
            [
                ("QEMU", Mark::Ok),
                ("vfio-user", Mark::Ok),
                ("TCG", Mark::Ok)
            ]
        );
        assert!(
            findings[0].found.starts_with("11.1.3 (made up) at /"),
            "{:?}",
            findings[0]
        );
    }

    #[test]
    fn a_qemu_without_vfio_user_will_not_do() {
        let folder = tempfile::tempdir().unwrap();
        let script = "case $* in
            --version) echo 'QEMU emulator version 7.2.22' ;;
            '-accel help') echo tcg ;;
            *) echo \"Device 'vfio-user-pci' not found\" >&2; exit 1 ;;
            esac";
        let findings = qemu(&fake_qemu(folder.path(), script));
        assert_eq!(marks(&findings)[1], ("vfio-user", Mark::Missing));
    }

    #[test]
    fn a_qemu_that_does_not_run_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let findings = qemu(&fake_qemu(folder.path(), "echo no libslirp >&2; exit 127"));
        assert_eq!(marks(&findings), [("QEMU", Mark::Missing)]);
        assert!(
            findings[0].found.contains("no libslirp"),
            "{:?}",
            findings[0]
        );
    }

    #[test]
    fn without_kvm_a_bench_runs_all_the_same() {
        for error in [
            KvmError::Missing,
            KvmError::Denied,
            KvmError::CannotRun("emulation failure at cmpxchg16b".to_owned()),
        ] {
            let finding = kvm(Err(error.clone()));
            assert_eq!(finding.mark, Mark::Note);
            assert!(finding.found.starts_with(&error.to_string()));
        }
        assert_eq!(kvm(Ok(())).mark, Mark::Ok);
    }
}
