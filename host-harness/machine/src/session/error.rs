// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a session ends before its time: the guest, QEMU, the device or the user.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use super::{PlugError, SuspendError, boot_wait};
use crate::{
    agent::AgentError, artefacts::ArtefactError, interrupt::Interrupted, qemu::StartError,
    qmp::QmpError, span::span,
};

/// Why a session could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A part of the guest is not there.
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    /// The device could not be made or served.
    #[error("the device model failed: {0}")]
    Device(String),
    /// Nobody could ask for something while the guest runs.
    #[error("{0}")]
    Control(String),
    /// QEMU could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The user's own limit makes no sense.
    #[error(
        "IRQBED_BOOT_LIMIT is {0:?}: give the seconds that a guest may take to boot, 1 to 86400"
    )]
    BootLimit(String),
    /// QEMU ended before the guest was up.
    #[error(
        "{program} ended before the guest was up ({status}){}; {remedy}",
        quoted("it said", .messages)
    )]
    BootEnded {
        /// QEMU.
        program: PathBuf,
        /// How.
        status: ExitStatus,
        /// QEMU's own last lines.
        messages: Vec<String>,
        /// What to do.
        remedy: &'static str,
        /// The guest's last lines.
        console: Vec<String>,
    },
    /// The driver has no such parameter.
    #[error("the driver has no parameter {name:?}; it has: {}", .known.join(", "))]
    NoParameter {
        /// The parameter.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// QEMU ended by itself.
    #[error("QEMU ended ({status}){}", quoted("it said", .messages))]
    QemuEnded {
        /// How.
        status: ExitStatus,
        /// QEMU's own last lines.
        messages: Vec<String>,
        /// The guest's last lines.
        console: Vec<String>,
    },
    /// The guest's kernel panicked.
    #[error("the guest panicked: {line}")]
    Panicked {
        /// The line that says so.
        line: String,
        /// The guest's last lines.
        console: Vec<String>,
    },
    /// The guest does not answer.
    #[error("the guest hangs: no answer to {waiting_for} within {}{}", span(*.limit), boot_wait::longer(.waiting_for))]
    Hangs {
        /// What we waited for.
        waiting_for: String,
        /// For how long.
        limit: Duration,
        /// The guest's last lines.
        console: Vec<String>,
    },
    /// The agent refused, or said something odd.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A device cannot be plugged in or pulled.
    #[error(transparent)]
    Plug(#[from] PlugError),
    /// The guest was not suspended, or did not resume well.
    #[error(transparent)]
    Suspend(#[from] SuspendError),
    /// QEMU did not do as it was told.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// A child or a line failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The user asked us to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Lines as part of an error of one line.
pub(super) fn quoted(what: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        String::new()
    } else {
        format!("; {what}: {}", lines.join(" | "))
    }
}

impl SessionError {
    /// The guest's last console lines, where they may help.
    #[must_use]
    pub fn console(&self) -> &[String] {
        match self {
            Self::BootEnded { console, .. }
            | Self::QemuEnded { console, .. }
            | Self::Panicked { console, .. }
            | Self::Hangs { console, .. } => console,
            _ => &[],
        }
    }
}
