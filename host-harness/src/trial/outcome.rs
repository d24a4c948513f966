// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a trial ended, in words.

use std::time::Duration;

use irqbed_abi::control::Ending;

use super::{DeviceFault, Finding, output::Output};

use crate::units::span;

/// Why a trial failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A module did not load.
    #[error("{0}")]
    Load(String),
    /// The program could not be started.
    #[error("the program did not start: {0}")]
    Start(String),
    /// The program did not end as expected.
    #[error("{}", ending(.0, *.1))]
    Program(Ending, u8),
    /// The program had to be stopped.
    #[error("the program was stopped: it had not ended within {}", span(*.0))]
    Limit(Duration),
    /// The program could not even be stopped.
    #[error("the program hangs in the kernel, and cannot be killed{}", stack(.0))]
    Stuck(Vec<String>),
    /// The kernel complained.
    #[error("the kernel reports: {}", .0.line)]
    Kernel(Finding),
    /// Memory was lost; kmemleak's report.
    #[error("memory was leaked: {}", .0.first().map_or("", String::as_str))]
    Leak(Vec<String>),
    /// A module did not unload.
    #[error("{0}")]
    Unload(String),
    /// What a step of the scenario asks for was not done.
    #[error("step {number} ({step}) failed: {why}")]
    Step {
        /// Number of the step, from 1 on.
        number: usize,
        /// What it asks for.
        step: String,
        /// Why not.
        why: String,
    },
    /// A step of the scenario never had its turn.
    #[error("step {number} ({step}) had no turn: the program never said {says:?}")]
    Unsaid {
        /// Number of the step, from 1 on.
        number: usize,
        /// What it asks for.
        step: String,
        /// The line that it waited for.
        says: String,
    },
    /// A device went away.
    #[error("a device is gone: {0}")]
    Device(String),
    /// The guest went away.
    #[error("{message}")]
    Guest {
        /// Why.
        message: String,
        /// Its last lines.
        console: Vec<String>,
    },
}

impl Failure {
    /// Lines that explain it.
    #[must_use]
    pub fn details(&self) -> &[String] {
        match self {
            Self::Kernel(finding) => &finding.report,
            Self::Guest { console, .. } => console,
            Self::Leak(report) => report,
            _ => &[],
        }
    }
}

fn ending(ending: &Ending, expected: u8) -> String {
    match ending {
        Ending::Exited { status } => {
            format!("the program ended with exit status {status}, expected was {expected}")
        }
        Ending::Signalled { signal } => format!("the program was killed by {}", name(*signal)),
        // Failures of their own.
        Ending::Limit | Ending::Stuck { .. } => "the program did not end".to_owned(),
    }
}

fn name(signal: i32) -> String {
    let names = [
        (libc::SIGILL, "SIGILL"),
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGPIPE, "SIGPIPE"),
        (libc::SIGTERM, "SIGTERM"),
    ];
    let name = names.iter().find(|(number, _)| *number == signal);
    name.map_or_else(
        || format!("signal {signal}"),
        |(number, name)| format!("signal {number} ({name})"),
    )
}

fn stack(functions: &[String]) -> String {
    match functions {
        [] => String::new(),
        _ => format!(": {}", functions.join(" < ")),
    }
}

/// How a trial ended.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Why it failed; none when it passed.
    pub failures: Vec<Failure>,
    /// How the program ended, if there was one that began.
    pub ending: Option<Ending>,
    /// What the program said, on both streams.
    pub stdout: Output,
    /// On standard error.
    pub stderr: Output,
    /// The kernel's log since before the first module, as `dmesg` shows it.
    pub kernel_log: Vec<String>,
    /// The steps of the scenario that were carried out, in words.
    pub steps: Vec<String>,
    /// The faults that were armed at the end, and what each did.
    pub faults: Vec<DeviceFault>,
    /// What is to be known of the verdict: what was not checked.
    pub notes: Vec<String>,
    /// From the start of QEMU to the verdict.
    pub duration: Duration,
}

impl Outcome {
    /// Whether it passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}
