// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the instructions of one event go: every instruction that the guest
//! executes from the entry of the interrupt to the agent's verdict, by the
//! function that it belongs to.
//!
//! QEMU's plugin logs them ([`ExecutionLog`]), landmarks of the way cut the
//! event out of the log ([`Journey`]), and the guest names its own addresses
//! ([`Functions`]).

mod document;
mod functions;
mod journey;
mod table;

use std::time::{Duration, Instant};

use device_model::event::{Payload, RaiseError, Seq, Vector};
use irqbed_abi::{
    control::{Behaviour, ListenerSpec},
    pci::INSTRUMENT_BAR,
    trace::{TraceSlot, VERDICT_NONE},
};
use irqbed_machine::{
    execution_log::{Entry, ExecutionLog, LogError},
    interrupt::{self, Interrupted},
    progress::Progress,
    session::{Session, SessionError},
    span::span,
};
use irqbed_measure::idle::Processors;
use irqbed_results::mechanism::{Mechanism, Pair};

pub use document::{Legs, PathDocument, Row};
pub use functions::{Function, Functions};
pub use journey::{Journey, JourneyError, Landmarks};
pub use table::render;

/// Events before the first that is logged: the guest has done each thing by
/// then.
const WARM_UP: u64 = 50;
/// A guest that has done nothing for so long is idle.
const IDLE: Duration = Duration::from_millis(2);
/// An event that has not arrived by then never will.
const LIMIT: Duration = Duration::from_secs(5);
/// Events that may come too late for the log.
const IN_VAIN: u32 = 20;
/// Between two looks for the verdict.
const LOOK: Duration = Duration::from_millis(1);

/// What to log.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How the driver tells its listener, and where in the kernel.
    pub pair: Pair,
    /// Events, at least 1.
    pub events: u64,
    /// Payload of each, bytes.
    pub payload: u32,
    /// Whether driver and agent stamp the events.
    pub stamps: bool,
    /// Further parameters for the driver.
    pub module_parameters: Vec<(String, String)>,
}

impl Plan {
    /// Loads the driver into a guest that was [made steady](Session::steady).
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn prepare(&self, session: &mut Session) -> Result<(), SessionError> {
        let own = self.module_parameters.iter();
        let own = own.map(|(name, value)| (name.as_str(), value.clone()));
        let stamps = (!self.stamps).then(|| ("stamps", "0".to_owned()));
        session.load_module(
            self.pair
                .module_parameters()
                .into_iter()
                .flatten()
                .chain(stamps)
                .chain(own),
        )?;
        session.settle_sockets()
    }

    fn listener(&self) -> ListenerSpec {
        let behaviour = if self.stamps {
            Behaviour::Measure
        } else {
            Behaviour::Judge
        };
        ListenerSpec::new(self.pair.mechanism, behaviour)
    }
}

/// Why there is no path.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The device refused an event.
    #[error("the device refused an event: {0}")]
    Raise(#[from] RaiseError),
    /// An event did not arrive.
    #[error("event {0} did not arrive within {limit}", limit = span(LIMIT))]
    Lost(Seq),
    /// An event cannot be found in the log.
    #[error("event {seq} cannot be cut out of the log: {error}")]
    Journey {
        /// The event.
        seq: Seq,
        /// Why not.
        error: JourneyError,
    },
    /// The guest said something odd of itself.
    #[error("the guest does not say where {what} lies; it said {said:?}")]
    Where {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        said: String,
    },
    /// The user asked us to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// One event: what was measured of it, and all that was executed for it.
#[derive(Debug)]
pub struct Logged {
    /// Its stamps.
    pub slot: TraceSlot,
    /// Its instructions.
    pub journey: Journey,
}

/// Logs events one by one in a guest whose driver is loaded. The result is in
/// the order of their lengths.
///
/// # Errors
/// [`PathError`].
pub fn record(
    session: &mut Session,
    plan: &Plan,
    log: &ExecutionLog,
    progress: &Progress,
) -> Result<Vec<Logged>, PathError> {
    let listener = session.listen(plan.listener())?;
    let landmarks = landmarks(session)?;
    let processors = Processors::of(session.qemu_id()).map_err(SessionError::from)?;
    let payload = Payload::Pattern(plan.payload);
    let one = |session: &mut Session| -> Result<(Seq, TraceSlot), PathError> {
        // A listener that looks all the time is never idle.
        if plan.pair.mechanism != Mechanism::MmapPoll {
            processors.wait_until_idle(IDLE)?;
        }
        log.arm()?;
        let seq = session.source().raise(Vector::default(), payload)?.seq;
        let slot = arrival(session, seq)?;
        log.disarm()?;
        Ok((seq, slot))
    };
    progress.phase_of("log", WARM_UP + plan.events);
    for number in 0..WARM_UP {
        one(session)?;
        progress.at(number);
    }
    let mut logged = Vec::new();
    let mut in_vain = 0;
    while (logged.len() as u64) < plan.events {
        let (seq, slot) = one(session)?;
        match Journey::cut(&log.entries()?, &landmarks, seq) {
            Ok(journey) => logged.push(Logged { slot, journey }),
            // A listener that looks all the time fills the log while a busy
            // host is slow to bring it the event.
            Err(JourneyError::NoVerdict) if in_vain < IN_VAIN => in_vain += 1,
            Err(error) => return Err(PathError::Journey { seq, error }),
        }
        progress.at(WARM_UP + logged.len() as u64);
    }
    session.end_listener(listener, false)?;
    logged.sort_by_key(|logged| logged.journey.instructions.len());
    Ok(logged)
}

/// Waits for the verdict on an event: its trace slot.
fn arrival(session: &mut Session, seq: Seq) -> Result<TraceSlot, PathError> {
    let raised = Instant::now();
    loop {
        match session.source().instrument().event(seq) {
            Some(slot) if slot.verdict != VERDICT_NONE => return Ok(slot),
            _ if raised.elapsed() > LIMIT => return Err(PathError::Lost(seq)),
            _ => {
                interrupt::check()?;
                session.alive()?;
                std::thread::sleep(LOOK);
            }
        }
    }
}

/// Asks the guest where the driver's code lies, and where the instrument BAR.
fn landmarks(session: &mut Session) -> Result<Landmarks, PathError> {
    let mut read = |what, script: &str| -> Result<String, PathError> {
        let (status, said, error) = session.run(&["sh", "-c", script])?;
        match status {
            0 => Ok(said),
            _ => Err(PathError::Where { what, said: error }),
        }
    };
    let driver = read("the driver", "grep '^irqbed ' /proc/modules")?;
    let bars = read(
        "the instrument BAR",
        "cat /sys/bus/pci/drivers/irqbed/*/resource",
    )?;
    Ok(Landmarks {
        driver: module_range(&driver).ok_or(PathError::Where {
            what: "the driver",
            said: driver,
        })?,
        instrument: bar_base(&bars, INSTRUMENT_BAR as usize).ok_or(PathError::Where {
            what: "the instrument BAR",
            said: bars,
        })?,
    })
}

/// Address and size of a module, from its line of `/proc/modules`: `name size
/// users by state address`.
fn module_range(line: &str) -> Option<std::ops::Range<u64>> {
    let mut words = line.split_ascii_whitespace();
    let size: u64 = words.nth(1)?.parse().ok()?;
    let base = hexadecimal(words.nth(3)?)?;
    (base != 0).then(|| base..base.saturating_add(size))
}

/// Where a BAR begins, from a device's `resource` in sysfs: `start end flags`,
/// a line each.
fn bar_base(lines: &str, bar: usize) -> Option<u64> {
    let start = lines.lines().nth(bar)?.split_ascii_whitespace().next()?;
    hexadecimal(start).filter(|&start| start != 0)
}

fn hexadecimal(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_module_lies_where_proc_modules_says() {
        let line = "irqbed 65536 2 - Live 0xffffffffc0401000 (O)\n";
        let range = module_range(line).expect("a range");
        assert_eq!(range, 0xffff_ffff_c040_1000..0xffff_ffff_c041_1000);
        // What the kernel shows to whom it does not trust.
        assert_eq!(module_range("irqbed 65536 2 - Live 0x0 (O)"), None);
    }

    #[test]
    fn a_bar_begins_where_its_line_says() {
        let lines = "0x00000000fe000000 0x00000000fe000fff 0x0000000000040200\n\
                     0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
        assert_eq!(bar_base(lines, 0), Some(0xfe00_0000));
        assert_eq!(bar_base(lines, 1), None);
        assert_eq!(bar_base(lines, 2), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_place_or_none(text in ".{0,80}", bar in 0_usize..8) {
            let _ = module_range(&text);
            let _ = bar_base(&text, bar);
        }
    }
}
