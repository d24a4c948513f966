// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a trial ended, in words.

use std::{fmt, time::Duration};

use irqbed_abi::control::{Ending, InterruptLine, Process};
use irqbed_machine::{kernel_report::Finding, span::span};
use irqbed_results::coverage::Coverage;

use super::{DeviceFault, Evidence, output::Output};

/// An interrupt that no handler said was its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unhandled(pub InterruptLine);

impl fmt::Display for Unhandled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InterruptLine {
            irq,
            actions,
            chip,
            count,
            unhandled,
        } = &self.0;
        write!(
            f,
            "interrupt {irq} of {actions} ({chip}): of {count} that came, no handler took \
             {unhandled} or more: each returned IRQ_NONE"
        )
    }
}

/// A device that a module is for and that no driver took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unbound {
    /// Its place on the bus.
    pub place: String,
    /// The module.
    pub module: String,
}

/// Why a trial failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A module did not load.
    #[error("{why}")]
    Load {
        /// Why not.
        why: String,
        /// What the kernel said of it.
        report: Vec<String>,
    },
    /// The program could not be started.
    #[error("the program did not start: {0}")]
    Start(String),
    /// The program did not end as expected.
    #[error("{}", ending(.0, *.1))]
    Program(Ending, u8),
    /// The program had to be stopped.
    #[error("the program was stopped: it had not ended within {}{}", span(*.limit), slept(.processes))]
    Limit {
        /// The time it had.
        limit: Duration,
        /// What each of its processes did.
        processes: Vec<String>,
    },
    /// The program could not even be stopped.
    #[error("the program hangs in the kernel, and cannot be killed{}", slept(.0))]
    Stuck(Vec<String>),
    /// The kernel complained.
    #[error("the kernel reports: {}", .0.line)]
    Kernel(Finding),
    /// A driver did not take a device.
    #[error("a probe failed: {}", .0.line)]
    Probe(Finding),
    /// No driver took a device.
    #[error(
        "no driver took {}, which {} is for: its probe refused with ENODEV or ENXIO, or was put \
         off (EPROBE_DEFER)",
        .0.place, .0.module
    )]
    Unbound(Unbound),
    /// Interrupts that nobody handled.
    #[error("{0}")]
    Unhandled(Unhandled),
    /// A device of ours saw a driver do what no hardware forgives.
    #[error("the device {device} warns: {warning}")]
    Warning {
        /// The device.
        device: String,
        /// Its words.
        warning: String,
    },
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
    /// The guest was not suspended before its program.
    #[error("{sleep}: {why}")]
    Suspend {
        /// How it was to be.
        sleep: String,
        /// Why it was not.
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
            // All of it is in the line.
            Self::Kernel(Finding { report, .. }) | Self::Probe(Finding { report, .. })
                if report.len() == 1 =>
            {
                &[]
            }
            Self::Kernel(finding) | Self::Probe(finding) => &finding.report,
            Self::Guest { console, .. } => console,
            Self::Load { report, .. } => report,
            Self::Leak(report) => report,
            Self::Limit { processes, .. } | Self::Stuck(processes) => processes,
            _ => &[],
        }
    }

    /// All its texts, to be made better by what is known of modules.
    pub(super) fn texts_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Kernel(finding) | Self::Probe(finding) => {
                let Finding { line, report } = finding;
                std::iter::once(line).chain(report).collect()
            }
            Self::Guest { message, console } => std::iter::once(message).chain(console).collect(),
            Self::Load { why, report } => std::iter::once(why).chain(report).collect(),
            Self::Leak(lines) | Self::Stuck(lines) => lines.iter_mut().collect(),
            Self::Limit { processes, .. } => processes.iter_mut().collect(),
            Self::Unload(why) => vec![why],
            _ => Vec::new(),
        }
    }

    /// Causes have smaller numbers than what may follow from them.
    pub(super) fn rank(&self) -> u32 {
        match self {
            Self::Device(_) => 0,
            Self::Kernel(_) => 1,
            Self::Load { .. } => 2,
            Self::Probe(_) | Self::Unbound(_) => 3,
            Self::Warning { .. } => 4,
            Self::Unhandled(_) => 5,
            Self::Guest { .. } => 6,
            Self::Start(_) | Self::Suspend { .. } | Self::Step { .. } | Self::Stuck(_) => 7,
            Self::Program(..) | Self::Limit { .. } | Self::Unsaid { .. } => 8,
            Self::Leak(_) | Self::Unload(_) => 9,
        }
    }
}

/// What a process does, in one line; `None` of one that only waits for its children.
pub(super) fn state(process: &Process) -> Option<String> {
    let Process {
        pid,
        name,
        state,
        sleeps_in,
        stack,
    } = process;
    if sleeps_in == "do_wait" {
        return None;
    }
    let does = match &**state {
        "R" => "runs",
        "D" => "sleeps and takes no signal",
        "S" | "I" => "sleeps",
        "Z" | "X" => "has ended",
        _ => "is stopped",
    };
    let at = match &stack[..] {
        [] if sleeps_in.is_empty() => String::new(),
        [] => format!(" in {sleeps_in}"),
        _ => format!(" in {}", stack.join(" < ")),
    };
    Some(format!("{name} ({pid}) {does}{at}"))
}

fn ending(ending: &Ending, expected: u8) -> String {
    match ending {
        Ending::Exited { status } => {
            format!("the program ended with exit status {status}, expected was {expected}")
        }
        Ending::Signalled { signal } => format!("the program was killed by {}", name(*signal)),
        // Failures of their own.
        Ending::Limit { .. } | Ending::Stuck { .. } => "the program did not end".to_owned(),
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

/// What the first process did, for the one line that everybody reads.
fn slept(processes: &[String]) -> String {
    let Some(first) = processes.first() else {
        return String::new();
    };
    let inner: Vec<&str> = first.split(" < ").take(3).collect();
    format!("; {}", inner.join(" < "))
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
    /// What is to be seen beside the failures.
    pub evidence: Vec<Evidence>,
    /// The kernel's log since before the first module, as `dmesg` shows it.
    pub kernel_log: Vec<String>,
    /// The steps of the scenario that were carried out, in words.
    pub steps: Vec<String>,
    /// The faults that were armed at the end, and what each did.
    pub faults: Vec<DeviceFault>,
    /// What of the modules was executed, where that was asked.
    pub coverage: Coverage,
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
