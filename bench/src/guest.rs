// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest whose events are measured one by one. It is booted at the first
//! event, so that a bench that is filtered out costs nothing, and serves all
//! pairs that need the same machine.

use anyhow::{Context, Result, bail};
use device_model::GuestTsc;
use irqbed_abi::control::{Behaviour, ListenerSpec};
use irqbed_machine::{
    accel::{self, AccelRequest, Accelerator},
    artefacts::Artefacts,
    progress::Progress,
    qemu::{ClockKind, Machine},
    session::{Session, Setup},
};
use irqbed_measure::{
    bench::{Bench, CLAIM, cannot, machine_for},
    clock::{Calibration, WallClock},
    measure::{self, Plan, Rate, Trace},
};
use irqbed_results::{mechanism::Pair, units::Unit};

/// Events a second, as `irqbed bench` has it.
const HERTZ: f64 = 1000.0;

/// Guests of one clock.
#[derive(Debug)]
pub struct Guests {
    machine: Machine,
    running: Option<Running>,
}

/// A guest that is up.
#[derive(Debug)]
struct Running {
    session: Session,
    machine: Machine,
    listening: Option<Listening>,
}

/// A driver that has the device, and a listener that measures.
#[derive(Debug)]
struct Listening {
    bench: Bench,
    listener: u32,
    clock: Option<Calibrated>,
}

/// The clock of a guest in wall time.
#[derive(Debug)]
struct Calibrated {
    first: Calibration,
    wall: WallClock,
}

impl Guests {
    /// Guests whose clock is this one; none is booted yet.
    ///
    /// # Errors
    /// When no accelerator will do.
    pub fn new(clock: ClockKind) -> Result<Self> {
        // Only TCG counts instructions.
        let accelerator = match clock {
            ClockKind::Instructions => Accelerator::Tcg,
            ClockKind::Wall => accel::choose(AccelRequest::Auto)?.accelerator,
        };
        Ok(Self {
            machine: Machine::new(accelerator, clock),
            running: None,
        })
    }

    /// What their stamps count.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        match self.machine.clock {
            ClockKind::Wall => Unit::Nanoseconds,
            ClockKind::Instructions => Unit::Instructions,
        }
    }

    /// Why a pair cannot be measured here, if it cannot.
    #[must_use]
    pub fn refusal(&self, pair: Pair) -> Option<String> {
        cannot(pair, &machine_for(pair, &self.machine), 1)
    }

    /// Has a guest up, and a listener of this pair in it.
    ///
    /// # Errors
    /// When the guest does not boot, or the driver does not load.
    pub fn prepare(&mut self, pair: Pair) -> Result<()> {
        self.listening(pair).map(drop)
    }

    /// Raises events one by one and adds up how long each took to reach the
    /// process: from the device in wall time, from the interrupt handler in
    /// instructions.
    ///
    /// # Errors
    /// When the guest fails, or loses an event.
    pub fn events(&mut self, pair: Pair, count: u64) -> Result<u64> {
        let rate = match self.machine.clock {
            ClockKind::Wall => Rate::OneByOne(HERTZ),
            ClockKind::Instructions => Rate::WhenIdle(HERTZ),
        };
        let plan = Plan {
            events: count,
            rate,
            ..Plan::default()
        };
        let running = self.listening(pair)?;
        let Some(listening) = &running.listening else {
            bail!("nobody listens");
        };
        let run = measure::run(&mut running.session, &plan, &Progress::hidden())?;
        let wall = listening.clock.as_ref().map(|clock| &clock.wall);
        run.traces
            .iter()
            .map(|trace| taken(trace, wall).with_context(|| format!("{pair}: an event was lost")))
            .sum()
    }

    /// A guest with a listener of this pair, which stays.
    fn listening(&mut self, pair: Pair) -> Result<&mut Running> {
        let machine = machine_for(pair, &self.machine);
        let mut running = match self.running.take() {
            Some(running) if running.machine == machine => running,
            other => {
                other.map_or(Ok(()), Running::end)?;
                Running::boot(machine)?
            }
        };
        running.listen(pair)?;
        Ok(self.running.insert(running))
    }

    /// Ends the guest in good order.
    ///
    /// # Errors
    /// When it does not go, or its clock was not what it seemed to be.
    pub fn end(self) -> Result<()> {
        self.running.map_or(Ok(()), Running::end)
    }
}

impl Running {
    fn boot(machine: Machine) -> Result<Self> {
        let mut session = Setup::of(&Artefacts::locate()?, &machine).boot()?;
        if machine.clock == ClockKind::Instructions {
            session.steady()?;
        }
        Ok(Self {
            session,
            machine,
            listening: None,
        })
    }

    fn listen(&mut self, pair: Pair) -> Result<()> {
        if self.listening.as_ref().map(|known| known.bench.pair) == Some(pair) {
            return Ok(());
        }
        self.put_away()?;
        let bench = Bench::new(&self.machine, pair);
        bench.prepare(&mut self.session)?;
        let spec = ListenerSpec::new(pair.mechanism, Behaviour::Measure);
        let listener = self.session.listen(spec)?;
        let clock = match self.machine.clock {
            ClockKind::Wall => Some(Calibrated::take(&mut self.session)?),
            ClockKind::Instructions => None,
        };
        self.listening = Some(Listening {
            bench,
            listener,
            clock,
        });
        Ok(())
    }

    fn put_away(&mut self) -> Result<()> {
        let Some(old) = self.listening.take() else {
            return Ok(());
        };
        if let Some(clock) = old.clock {
            clock.check(old.bench.pair, &mut self.session)?;
        }
        self.session.end_listener(old.listener, false)?;
        old.bench.put_away(&mut self.session)?;
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        self.put_away()?;
        Ok(self.session.power_off()?)
    }
}

impl Calibrated {
    /// Criterion wants values before the run is over, so the clock is taken
    /// twice before it.
    fn take(session: &mut Session) -> Result<Self> {
        let first = Calibration::take(session)?;
        let wall = WallClock::between(&first, &Calibration::take(session)?);
        Ok(Self { first, wall })
    }

    /// Whether it was right to the end.
    fn check(&self, pair: Pair, session: &mut Session) -> Result<()> {
        let whole = WallClock::between(&self.first, &Calibration::take(session)?);
        if !whole.is_within(CLAIM) {
            device_model::log::say(format_args!(
                "{pair}: the clock may be off by {}, and drifted by {}: too much for what is \
                 shown; run it again on a machine with less to do",
                whole.error_bound, whole.drift
            ));
        }
        Ok(())
    }
}

/// How long an event took; `None` when it did not arrive.
fn taken(trace: &Trace, wall: Option<&WallClock>) -> Option<u64> {
    let since = |from: GuestTsc, to: GuestTsc| to.0.checked_sub(from.0);
    match wall {
        // Never negative but by the error of the clock.
        Some(wall) => {
            Some(u64::try_from(wall.host_to_guest(trace.raise?, trace.user?)).unwrap_or_default())
        }
        None => since(trace.isr?, trace.user?),
    }
}
