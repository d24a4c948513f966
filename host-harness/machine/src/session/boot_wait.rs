// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is special about the wait for a guest that boots: how long it may
//! take is the user's to say, and a QEMU that ends is most likely the wrong one.

use std::{env, os::unix::process::ExitStatusExt, path::Path, process::ExitStatus, time::Duration};

use rustix::process::Signal;

use super::{SessionError, ends_over_a_device};

/// What a guest that boots is asked for; part of the error when it hangs.
pub(super) const WAIT: &str = "boot";

/// A guest that has not said hello by then hangs.
const DEFAULT_LIMIT: Duration = Duration::from_secs(90);

/// How long a guest may take: `IRQBED_BOOT_LIMIT` seconds where it is set.
pub(super) fn limit() -> Result<Duration, SessionError> {
    match env::var_os("IRQBED_BOOT_LIMIT") {
        None => Ok(DEFAULT_LIMIT),
        Some(text) => parse(&text.to_string_lossy()),
    }
}

fn parse(text: &str) -> Result<Duration, SessionError> {
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err(SessionError::BootLimit(text.to_owned())),
    }
}

/// What to do about a guest that does not come up, where that is what hangs.
pub(super) fn longer(waiting_for: &str) -> &'static str {
    match waiting_for {
        WAIT => "; on a slow machine give it longer by IRQBED_BOOT_LIMIT=SECONDS",
        _ => "",
    }
}

/// The end of QEMU, with the program and what to do about it.
pub(super) fn in_words(error: SessionError, program: &Path) -> SessionError {
    match error {
        SessionError::QemuEnded {
            status,
            messages,
            console,
        } => SessionError::BootEnded {
            program: program.to_owned(),
            status,
            remedy: remedy(status, &messages),
            messages,
            console,
        },
        error => error,
    }
}

fn remedy(status: ExitStatus, messages: &[String]) -> &'static str {
    let no_client = |line: &String| {
        line.contains("'vfio-user-pci' is not a valid device")
            || line.contains("Device 'vfio-user-pci' not found")
    };
    let no_holder = |line: &String| {
        line.contains("virtio-gpu-pci")
            && (line.contains("not a valid") || line.contains("not found"))
    };
    let no_plugin = |line: &String| line.contains("plugin requires API version");
    if status.signal() == Some(Signal::KILL.as_raw()) {
        "somebody killed it, as the host's kernel does when memory is short: `dmesg` there says so"
    } else if messages.iter().any(no_plugin) {
        "its plugins are of another version: unset IRQBED_QEMU, or set it to a QEMU 11.1"
    } else if messages.iter().any(no_holder) {
        "a machine with ports needs virtio-gpu-pci: unset IRQBED_QEMU, or install the display \
         modules of that QEMU"
    } else if messages.iter().any(no_client) {
        "it has no vfio-user client: unset IRQBED_QEMU, or set it to a QEMU of 10.1 or newer"
    } else if ends_over_a_device(messages) {
        "a device model ended, or refused, before QEMU was connected to it: see what it said"
    } else {
        "`./just doctor` says whether this QEMU will do"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_in_whole_seconds() {
        assert_eq!(parse("300").expect("a limit"), Duration::from_secs(300));
        for text in ["", "0", "-1", "5m", "86401"] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn a_qemu_without_the_client_is_told_from_one_that_fails_otherwise() {
        let failed = ExitStatus::from_raw(1 << 8);
        let said = |line: &str| remedy(failed, &[line.to_owned()]);
        let old = said("qemu: -device x: 'vfio-user-pci' is not a valid device model name");
        assert!(old.contains("no vfio-user client"), "{old}");
        let other = said("Could not load plugin x: plugin requires API version 7, but this QEMU");
        assert!(other.contains("QEMU 11.1"), "{other}");
        let bare = said("qemu: -device x: 'virtio-gpu-pci' is not a valid device model name");
        assert!(bare.contains("display modules"), "{bare}");
        let gone = r#"qemu: -device {"driver":"vfio-user-pci","socket":{"path":"/proc/self/fd/9"}}: Failed to connect to '/proc/self/fd/9': Connection refused"#;
        assert!(said(gone).contains("device model"), "{gone}");
        let died = "qemu: util/error.c:62: error_setv: Assertion `*errp == NULL' failed.";
        assert!(said(died).contains("device model"), "{died}");
        assert!(said("qemu: could not load kernel").contains("doctor"));
        let killed = remedy(ExitStatus::from_raw(9), &[]);
        assert!(killed.contains("memory is short"), "{killed}");
    }
}
