// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which accelerator QEMU runs with, and why.
//!
//! That `/dev/kvm` exists proves nothing, so KVM counts as usable only after
//! a small 64-bit guest has run to its end on it.

mod kvm_probe;

use std::{fmt, time::Duration};

use crate::span::span;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How QEMU executes the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// On the processor, by the host's kernel.
    Kvm,
    /// By translation, on any machine.
    Tcg,
}

impl Accelerator {
    /// The name, as QEMU has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the user asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum AccelRequest {
    /// KVM where it really runs a guest, else TCG
    #[default]
    Auto,
    /// KVM, or an error
    Kvm,
    /// TCG
    Tcg,
}

impl fmt::Display for AccelRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// What will be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Why that one, in a few words.
    pub reason: String,
}

/// KVM was asked for and cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--accel kvm: {0}; --accel tcg works everywhere")]
pub struct AccelError(#[from] pub KvmError);

/// Why KVM cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KvmError {
    /// No device.
    #[error("there is no /dev/kvm")]
    Missing,
    /// Not ours to open.
    #[error("/dev/kvm may not be opened (permission denied)")]
    Denied,
    /// Opening or setting up failed otherwise.
    #[error("KVM fails to {step}: {error}")]
    SetUp {
        /// What was tried.
        step: &'static str,
        /// The error of the system.
        error: String,
    },
    /// The guest was set up but did not get to its end.
    #[error("KVM opens but cannot run a 64-bit guest: {0}")]
    CannotRun(String),
    /// The guest did not end.
    #[error("KVM opens but cannot run a 64-bit guest: it was not through after {}", span(*.0))]
    Hangs(Duration),
}

impl KvmError {
    /// What the user can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Missing => {
                "switch on virtualisation in the firmware and load kvm_intel or kvm_amd; \
                 in a virtual machine, ask for nested virtualisation"
            }
            Self::Denied => "join the group kvm (sudo usermod -aG kvm \"$USER\") and log in again",
            Self::SetUp { .. } | Self::CannotRun(_) | Self::Hangs(_) => {
                "nothing to do on this machine: the guest runs under TCG"
            }
        }
    }
}

/// Decides which accelerator to use.
///
/// # Errors
/// [`AccelError`] when KVM is asked for and cannot be used.
pub fn choose(request: AccelRequest) -> Result<Choice, AccelError> {
    choose_by(request, probe_kvm)
}

/// Runs a small 64-bit guest on KVM; takes milliseconds, at most 2 s.
///
/// # Errors
/// [`KvmError`] says how far it got.
pub fn probe_kvm() -> Result<(), KvmError> {
    kvm_probe::run()
}

fn choose_by(
    request: AccelRequest,
    probe: impl FnOnce() -> Result<(), KvmError>,
) -> Result<Choice, AccelError> {
    let choice = |accelerator, reason| {
        Ok(Choice {
            accelerator,
            reason,
        })
    };
    match request {
        AccelRequest::Tcg => choice(Accelerator::Tcg, "asked for".to_owned()),
        AccelRequest::Kvm => {
            probe()?;
            choice(Accelerator::Kvm, "asked for".to_owned())
        }
        AccelRequest::Auto => match probe() {
            Ok(()) => choice(Accelerator::Kvm, "KVM runs a 64-bit guest".to_owned()),
            Err(error) => choice(Accelerator::Tcg, error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_falls_back_to_tcg_and_says_why() {
        let choice = choose_by(AccelRequest::Auto, || Err(KvmError::Denied)).unwrap();
        assert_eq!(choice.accelerator, Accelerator::Tcg);
        assert!(
            choice.reason.contains("permission denied"),
            "{}",
            choice.reason
        );
    }

    #[test]
    fn auto_takes_kvm_where_it_works() {
        let choice = choose_by(AccelRequest::Auto, || Ok(())).unwrap();
        assert_eq!(choice.accelerator, Accelerator::Kvm);
    }

    #[test]
    fn kvm_that_was_asked_for_is_never_replaced() {
        let error = choose_by(AccelRequest::Kvm, || Err(KvmError::Missing)).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("--accel kvm: there is no /dev/kvm"),
            "{error}"
        );
    }

    #[test]
    fn tcg_that_was_asked_for_needs_no_probe() {
        let choice = choose_by(AccelRequest::Tcg, || panic!("probed")).unwrap();
        assert_eq!(choice.accelerator, Accelerator::Tcg);
    }

    #[test]
    fn the_probe_comes_to_an_end_on_this_machine() {
        // What it finds depends on the machine; that it finds something does not.
        if let Err(error) = probe_kvm() {
            assert!(!error.to_string().is_empty());
        }
    }
}
