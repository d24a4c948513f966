// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One benchmark: listeners, a calibrated clock, a run, and the account.

mod faults;
mod losses;
mod machine;
mod notes;
pub(crate) mod stamps;

use std::{collections::BTreeMap, io};

use device_model::{
    event::{DeviceCounters, Vector},
    fault::{Fault, FaultError},
};
use irqbed_abi::{
    control::{Behaviour, ListenerReport, ListenerSpec, Load, ReplyBy},
    counters::Counters,
};
use irqbed_machine::{
    progress::Progress,
    qemu::{ClockKind, Machine},
    session::{Session, SessionError},
};
use irqbed_results::{
    mechanism::{Driver, InterruptType, Pair, driver},
    result::{Clock, FaultCounts, Listener, RunResult, Scheduling, Stages},
    units::Nanos,
};

use crate::{
    bench_orders::TurnError,
    clock::{Calibration, ClockError, WallClock},
    measure::{self, MeasureError, Plan, Run},
    pin::{Pin, Pinned},
};

pub use faults::refusal;
pub use machine::{cannot, machine_for};
use notes::context_of;
use stamps::distributions;
pub use stamps::sample;

/// Results in wall time claim to be this good.
pub const CLAIM: Nanos = Nanos(1_000);

/// What to measure, and in which machine.
#[derive(Debug, Clone)]
pub struct Bench {
    /// The machine that the session is booted with.
    pub machine: Machine,
    /// Where on the host the threads are that an event passes through.
    pub pin: Pin,
    /// Parameters for the driver, where it is ours.
    pub module_parameters: BTreeMap<String, String>,
    /// Events, rate, payload, vectors.
    pub plan: Plan,
    /// How the driver tells its listeners, and where in the kernel.
    pub pair: Pair,
    /// Most events in a message, 1 to 64.
    pub batch: u32,
    /// How the device interrupts.
    pub interrupt: InterruptType,
    /// Listeners, at least 1; the first one stamps the trace slots.
    pub listeners: u32,
    /// How each of them runs.
    pub scheduling: Scheduling,
    /// Room for events that wait at a listener, bytes; `None` for the default.
    pub receive_buffer: Option<u32>,
    /// What disturbs the guest.
    pub load: Option<Load>,
    /// How the first listener replies to each event, where it does.
    pub reply: Option<ReplyBy>,
    /// What goes wrong with the device while events are raised.
    pub faults: Vec<Fault>,
}

impl Bench {
    /// A pair as `irqbed bench` measures it without arguments, in the machine
    /// that it needs.
    #[must_use]
    pub fn new(machine: &Machine, pair: Pair) -> Self {
        Self {
            machine: machine_for(pair, machine),
            pin: Pin::default(),
            module_parameters: BTreeMap::new(),
            plan: Plan::default(),
            pair,
            interrupt: InterruptType::default(),
            batch: 1,
            listeners: 1,
            scheduling: Scheduling::default(),
            receive_buffer: None,
            load: None,
            reply: None,
            faults: Vec::new(),
        }
    }
}

/// Why a benchmark could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The clock could not be calibrated.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// Threads could not be put on processors of the host.
    #[error("cannot pin the threads of a run: {0}; give --pin none")]
    Pin(#[source] io::Error),
    /// The device cannot have a fault that was asked for.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// The other side of the turns said what cannot be done.
    #[error(transparent)]
    Turns(#[from] TurnError),
    /// The run failed.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// There is no rate to be found.
    #[error("{0} loses events at any rate: see what `irqbed bench` says of it at --rate 100")]
    NeverLossless(Pair),
    /// Instructions have no timeline of host and guest.
    #[error("{0} has no timeline: only wall time is the same on host and guest")]
    NoTimeline(Pair),
}

/// A benchmark that ran, and all that it left.
#[derive(Debug)]
pub struct Recorded {
    /// What is told of it.
    pub result: RunResult,
    /// Its events one by one.
    pub run: Run,
    /// From guest time to host time; `None` where instructions are counted.
    pub clock: Option<WallClock>,
}

/// What the device has counted at one moment, the driver, if it is ours, and how
/// many records lie in the rings that it does not see.
struct Counted {
    device: DeviceCounters,
    driver: Option<Counters>,
    in_rings: u64,
}

impl Bench {
    /// Gives the device to the driver that the benchmark wants, and as it wants
    /// it.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn prepare(&self, session: &mut Session) -> Result<(), SessionError> {
        let Some(parameters) = self.pair.module_parameters() else {
            return session.bind_vfio();
        };
        let own = self
            .module_parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()));
        let irq = ("irq", self.interrupt.as_str().to_owned());
        let batch = (self.batch > 1).then(|| ("batch", self.batch.to_string()));
        let pair = parameters.into_iter();
        session.load_module(pair.chain([irq]).chain(batch).chain(own))?;
        if self.machine.clock == ClockKind::Instructions {
            session.settle_sockets()?;
        }
        Ok(())
    }

    /// Takes the device from its driver again.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn put_away(&self, session: &mut Session) -> Result<(), SessionError> {
        match driver(self.pair.mechanism) {
            Driver::Ours(_) => session.unload_module(),
            Driver::Vfio => session.unbind_vfio(),
        }
    }

    /// What was counted up to now, every record handed on. Where the listener
    /// drives the device, the end of the run says that it took them all.
    fn counted(&self, session: &mut Session) -> Result<Counted, SessionError> {
        let driver = match driver(self.pair.mechanism) {
            Driver::Ours(_) => Some(session.flush()?),
            Driver::Vfio => None,
        };
        let source = session.source();
        Ok(Counted {
            device: source.counters(),
            driver,
            in_rings: Vector::all()
                .map(|vector| u64::from(source.in_flight(vector)))
                .sum(),
        })
    }

    /// Measures in a guest whose driver has the device, and ends its listeners
    /// again.
    ///
    /// # Errors
    /// [`BenchError`].
    pub fn run(&self, session: &mut Session, progress: &Progress) -> Result<RunResult, BenchError> {
        let measure = |session: &mut Session, _: Option<&Calibration>| {
            measure::run(session, &self.plan, progress).map_err(BenchError::from)
        };
        self.record(session, progress, measure)
            .map(|recorded| recorded.result)
    }

    /// [`Bench::run`] with a way to raise the plan's events of the caller's own,
    /// who is told what is known of the clocks.
    ///
    /// # Errors
    /// [`BenchError`].
    pub fn record(
        &self,
        session: &mut Session,
        progress: &Progress,
        measure: impl FnOnce(&mut Session, Option<&Calibration>) -> Result<Run, BenchError>,
    ) -> Result<Recorded, BenchError> {
        let specs: Vec<_> = (0..self.listeners)
            .map(|number| self.listener(number))
            .collect();
        let listeners = specs
            .iter()
            .map(|spec| session.listen(spec.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let before = self.counted(session)?;
        let calibrated = self.calibrate(session, progress)?;
        let calibrated = calibrated.map(Calibration::ensure_good).transpose()?;
        session.disturb(self.load)?;
        // To calibrate, both sides spin: that needs two processors.
        let placement = self.pin.placement(self);
        let qemu = session.qemu_id();
        let pinned = placement
            .as_ref()
            .map(|placement| Pinned::to(placement, qemu));
        let pinned = pinned.transpose().map_err(BenchError::Pin)?;
        let (run, faults) =
            self.with_faults(session, |session| measure(session, calibrated.as_ref()))?;
        drop(pinned);
        session.disturb(None)?;
        let after = self.counted(session)?;
        // The listener may be the one who has the instrument BAR.
        let again = match self.interrupt {
            InterruptType::Intx => None,
            _ => self.calibrate(session, progress)?,
        };
        let reports = listeners
            .into_iter()
            .map(|listener| last_report(session, listener))
            .collect::<Result<Vec<_>, _>>()?;
        let again = match self.interrupt {
            InterruptType::Intx => self.calibrate_by_messages(session, progress)?,
            _ => again,
        };
        let wall = calibrated
            .zip(again)
            .map(|(before, after)| WallClock::between(&before, &after));
        let duration = Nanos(u64::try_from(run.duration.as_nanos()).unwrap_or(u64::MAX));
        let (histograms, timeline) = distributions(&run.traces, wall.as_ref(), duration);
        let forced = match driver(self.pair.mechanism) {
            Driver::Ours(_) => session.handler_forced_by(&self.machine.kernel_parameters)?,
            Driver::Vfio => None,
        };
        let result = RunResult {
            mechanism: self.pair.mechanism.as_str().to_owned(),
            context: context_of(self.pair.context, forced),
            clock: wall.map_or(Clock::instructions(), |wall| {
                Clock::wall(wall.error_bound, wall.drift, CLAIM)
            }),
            parameters: self.parameters(&run, placement),
            duration_ns: duration,
            account: self.account(&run, &reports, &before, &after),
            faults: faults
                .iter()
                .map(|did| FaultCounts::new(&did.fault, did.opportunities, did.hits))
                .collect(),
            replies: self.replies(&reports, &before, &after),
            listeners: specs
                .iter()
                .zip(&reports)
                .map(|(spec, report)| Listener::new(spec, report))
                .collect(),
            driver: after.driver,
            saturation: None,
            stages: Stages::from(&histograms),
            timeline,
            turns: None,
            notes: self.notes(&run, forced),
        };
        Ok(Recorded {
            result,
            run,
            clock: wall,
        })
    }

    fn listener(&self, number: u32) -> ListenerSpec {
        let behaviour = match number {
            0 => Behaviour::Measure,
            _ => Behaviour::Count,
        };
        ListenerSpec {
            receive_buffer: self.room(),
            fifo: self.scheduling.fifo,
            cpu: self.scheduling.cpu,
            reply: self.reply.filter(|_| number == 0),
            ..ListenerSpec::new(self.pair.mechanism, behaviour)
        }
    }

    /// Instructions need no calibration.
    fn calibrate(
        &self,
        session: &mut Session,
        progress: &Progress,
    ) -> Result<Option<Calibration>, ClockError> {
        if self.machine.clock == ClockKind::Instructions {
            return Ok(None);
        }
        progress.phase("calibrate");
        Calibration::take(session).map(Some)
    }

    /// Calibrates after a run over INTx, whose listeners are gone.
    ///
    /// QEMU takes the mapping of the instrument BAR away at the first INTx, and
    /// gives it back when the guest takes to messages. Without it a ping takes
    /// as long as the way out of the guest does, and the clock is not known well
    /// enough. So the driver makes room for one that uses messages.
    fn calibrate_by_messages(
        &self,
        session: &mut Session,
        progress: &Progress,
    ) -> Result<Option<Calibration>, BenchError> {
        session.unload_module()?;
        let irq = InterruptType::Msix.as_str().to_owned();
        session.load_module([("irq", irq)])?;
        let calibrated = self.calibrate(session, progress)?;
        session.unload_module()?;
        self.prepare(session)?;
        Ok(calibrated)
    }
}

/// The report of a listener that is ended now; `alive` says whether it had
/// lived until then.
fn last_report(session: &mut Session, listener: u32) -> Result<ListenerReport, SessionError> {
    let alive = session.report(listener)?.alive;
    let report = session.end_listener(listener, false)?;
    Ok(ListenerReport { alive, ..report })
}
