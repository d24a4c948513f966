// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rounds: who is measured when. Ours and `ivshmem-doorbell` are raised by
//! the same thread at the same pace, and it looks for the arrival of an event
//! when the next one is due.

use std::{
    collections::BTreeMap,
    num::NonZeroU64,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use device_model::{
    GuestTsc, HostTsc,
    event::{Payload, Vector},
};
use irqbed_abi::{
    control::{Behaviour, ListenerSpec},
    trace::VERDICT_OK,
};
use irqbed_machine::{
    interrupt,
    progress::Progress,
    qemu::{Beside, Machine},
    session::{Session, Setup},
};
use irqbed_measure::{
    bench::Bench,
    clock::{Calibration, WallClock},
    pin::{Pin, Pinned},
};
use irqbed_results::{
    mechanism::{self, Mechanism, Pair},
    placement::Placement,
};

use super::{Rounds, Subject};
use crate::{
    access::{self, Place},
    image,
    ivshmem::{Arrival, Doorbell},
    kvm_floor::MicroGuest,
};

/// Between two events, as `irqbed bench` has it by default.
const GAP: Duration = Duration::from_millis(1);
/// An event that has not arrived by then is lost, and so is the run.
const LOST: Duration = Duration::from_secs(20);
/// Sleep while an event is late.
const BACK_OFF: Duration = Duration::from_micros(50);
/// Batches of accesses to a word in a round.
pub(super) const BATCHES: u64 = 10;
/// Events of the first block after a driver has loaded that are not counted.
const WARM_UP: u64 = 20;

/// As it is without tuning the guest, but above all else in it: so its timers
/// have no slack, which they have without a priority. It prints each latency.
pub(super) const CYCLICTEST: &str = "cyclictest --default-system -p 80 -N -v";

/// Ours by default; the others are raised at the same rate.
const OURS: Pair = Pair {
    mechanism: Mechanism::Netlink,
    context: mechanism::Context::Hardirq,
};

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Rounds, at least 1.
    pub rounds: u64,
    /// Events of a block, at least 1.
    pub events: u64,
    /// Where on the host the threads of all of them are.
    pub pin: Pin,
}

/// What all rounds left.
#[derive(Debug)]
pub struct Measured {
    /// Nanoseconds.
    pub subjects: BTreeMap<Subject, Rounds>,
    /// The clock of the guest.
    pub wall: WallClock,
    /// Where on the host the threads were.
    pub placement: Option<Placement>,
    /// Why KVM has no part in it, if it has none.
    pub no_floor: Option<String>,
    /// Kernel release of the guest.
    pub kernel: String,
}

/// A time before the clock is known.
#[derive(Debug, Clone, Copy)]
enum Raw {
    /// From the host to the guest.
    Across(HostTsc, GuestTsc),
    /// Cycles in the guest.
    Within(u64),
    /// Cycles in the guest, of so many accesses.
    Each(u64, u64),
    Nanos(u64),
}

/// The guest and all that is in it.
struct Turns {
    session: Session,
    doorbell: Doorbell,
    /// Rung so often.
    rung: u64,
    floor: Option<MicroGuest>,
    events: u64,
    raw: BTreeMap<Subject, Vec<Vec<Raw>>>,
}

/// Boots a guest with all devices in it and measures them in turns.
///
/// # Errors
/// When the guest fails, or an event is lost.
pub fn measure(machine: &Machine, plan: &Plan, progress: &Progress) -> Result<Measured> {
    progress.phase("boot");
    let (doorbell, mut beside) = Doorbell::new().context("cannot serve ivshmem-doorbell")?;
    beside
        .arguments
        .extend(["-device", "edu"].map(str::to_owned));
    let mut session = boot(machine, beside)?;
    // Sleeps end when they should, not up to 50 us later.
    if let Err(error) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)) {
        device_model::log::say(format_args!(
            "bench-peers: the timer slack stays as it is: {error}"
        ));
    }
    let first = calibrate(&mut session)?;
    let mut turns = Turns {
        session,
        doorbell,
        rung: 0,
        floor: None,
        events: plan.events,
        raw: BTreeMap::new(),
    };
    // No driver may have the devices for these.
    progress.phase_of("registers", plan.rounds);
    for round in 0..plan.rounds {
        turns.registers(round)?;
        progress.at(round + 1);
    }
    turns.load_peers()?;
    let placement = plan.pin.placement(&Bench::new(machine, OURS));
    let qemu = turns.session.qemu_id();
    let pinned = placement
        .as_ref()
        .map(|placement| Pinned::to(placement, qemu));
    let pinned = pinned.transpose().context("cannot pin the threads")?;
    // Its thread begins where this one is.
    let no_floor = match MicroGuest::start() {
        Ok(floor) => {
            turns.floor = Some(floor);
            None
        }
        Err(error) => Some(error.to_string()),
    };
    progress.phase_of("interrupts", plan.rounds);
    for round in 0..plan.rounds {
        turns.interrupts(round)?;
        progress.at(round + 1);
    }
    drop(pinned);
    let last = calibrate(&mut turns.session)?;
    let wall = WallClock::between(&first, &last);
    let kernel = turns.session.hello().kernel.clone();
    let raw = std::mem::take(&mut turns.raw);
    turns.session.power_off()?;
    let within = |cycles| wall.guest_to_guest(GuestTsc(0), GuestTsc(cycles)) as f64;
    let nanos = |raw: Raw| match raw {
        Raw::Across(from, to) => wall.host_to_guest(from, to) as f64,
        Raw::Within(cycles) => within(cycles),
        Raw::Each(cycles, count) => within(cycles) / count as f64,
        Raw::Nanos(nanos) => nanos as f64,
    };
    let rounds = |rounds: Vec<Vec<Raw>>| {
        let round = |round: Vec<Raw>| round.into_iter().map(nanos).collect();
        Rounds(rounds.into_iter().map(round).collect())
    };
    Ok(Measured {
        subjects: raw
            .into_iter()
            .map(|(subject, raw)| (subject, rounds(raw)))
            .collect(),
        wall,
        placement,
        no_floor,
        kernel,
    })
}

fn boot(machine: &Machine, beside: Beside) -> Result<Session> {
    let artefacts = image::artefacts()?;
    Ok(Setup::of(&artefacts, machine).beside(beside).boot()?)
}

/// With our driver, which goes again.
fn calibrate(session: &mut Session) -> Result<Calibration> {
    session.load_module([])?;
    let calibration = Calibration::take(session)?;
    session.unload_module()?;
    Ok(calibration)
}

impl Turns {
    fn keep(&mut self, subject: Subject, round: Vec<Raw>) {
        self.raw.entry(subject).or_default().push(round);
    }

    /// An order of its own for each round, the same in each run: nobody always
    /// comes first, or behind the same other one.
    fn in_turns<T>(round: u64, mut turns: Vec<T>) -> Vec<T> {
        fastrand::Rng::with_seed(round).shuffle(&mut turns);
        turns
    }

    fn registers(&mut self, round: u64) -> Result<()> {
        let places = vec![
            (Subject::TrappedRead, access::TRAPPED_READ),
            (Subject::EduRead, access::EDU_READ),
            (Subject::TrappedWrite, access::TRAPPED_WRITE),
            (Subject::EduWrite, access::EDU_WRITE),
            (Subject::MappedRead, access::MAPPED_READ),
            (Subject::IvshmemMemoryRead, access::IVSHMEM_READ),
            (Subject::RamRead, access::RAM_READ),
        ];
        for (subject, place) in Self::in_turns(round, places) {
            self.accesses(subject, &place)?;
        }
        Ok(())
    }

    fn accesses(&mut self, subject: Subject, place: &Place) -> Result<()> {
        interrupt::check()?;
        let (batches, accesses) = access::cycles(&mut self.session, place, BATCHES)?;
        let each = |cycles: u64| Raw::Each(cycles, accesses);
        self.keep(subject, batches.into_iter().map(each).collect());
        Ok(())
    }

    fn load_peers(&mut self) -> Result<()> {
        let module = "/lib/modules/irqbed_peers.ko";
        let (status, _, stderr) = self.session.run(&["insmod", module])?;
        ensure!(status == 0, "{module} does not load: {}", stderr.trim());
        Ok(())
    }

    fn interrupts(&mut self, round: u64) -> Result<()> {
        type Turn = fn(&mut Turns) -> Result<()>;
        let turns: Vec<Turn> = vec![
            |turns| turns.ours(Mechanism::Eventfd),
            |turns| turns.ivshmem("eventfd"),
            |turns| turns.ours(Mechanism::Read),
            |turns| turns.ivshmem("read"),
            |turns| turns.ours(Mechanism::Netlink),
            |turns| turns.edu_raise(),
            |turns| turns.edu_factorial(),
            |turns| turns.cyclictest(),
            |turns| turns.floor(),
        ];
        for turn in Self::in_turns(round, turns) {
            interrupt::check()?;
            turn(self)?;
        }
        Ok(())
    }

    fn ours(&mut self, mechanism: Mechanism) -> Result<()> {
        let pair = Pair {
            mechanism,
            context: mechanism::Context::Hardirq,
        };
        let parameters = pair.module_parameters().context("no driver of ours")?;
        self.session.load_module(parameters)?;
        let listener = self
            .session
            .listen(ListenerSpec::new(mechanism, Behaviour::Measure))?;
        let source = self.session.source().clone();
        let raise = |_: u64| Ok(source.raise(Vector::default(), Payload::Pattern(16))?.seq);
        let arrived = |seq: &_| {
            let slot = source.instrument().event(*seq)?;
            (slot.verdict == VERDICT_OK).then(|| {
                let (isr, user) = (GuestTsc(slot.isr), GuestTsc(slot.user));
                (HostTsc(slot.raise), Arrival { isr, user })
            })
        };
        let events = one_by_one(self.events, raise, arrived).with_context(|| pair.to_string())?;
        self.session.end_listener(listener, false)?;
        self.session.unload_module()?;
        let user = match mechanism {
            Mechanism::Eventfd => Subject::OursEventfd,
            Mechanism::Read => Subject::OursRead,
            _ => Subject::OursNetlink,
        };
        if mechanism == Mechanism::Eventfd {
            self.keep(Subject::OursIsr, to_isr(&events));
        }
        self.keep(user, to_user(&events));
        Ok(())
    }

    fn ivshmem(&mut self, wait: &str) -> Result<()> {
        self.doorbell.expect_listener();
        image::leave(&mut self.session, &format!("listen {wait}"))?;
        let asked = Instant::now();
        while !self.doorbell.is_listening() {
            self.session.alive()?;
            ensure!(asked.elapsed() < LOST, "nobody listens to ivshmem-doorbell");
            std::thread::sleep(GAP);
        }
        let (doorbell, before) = (&self.doorbell, self.rung);
        let ring = |number: u64| {
            let number = before + number;
            Ok((number, doorbell.ring(number)?))
        };
        let arrived = |(number, raise): &(u64, HostTsc)| {
            doorbell.arrived(*number).map(|arrival| (*raise, arrival))
        };
        let events = one_by_one(self.events, ring, arrived).context("ivshmem-doorbell")?;
        self.rung += self.events + WARM_UP;
        self.doorbell.end_listener()?;
        if wait == "eventfd" {
            self.keep(Subject::IvshmemIsr, to_isr(&events));
            self.keep(Subject::IvshmemEventfd, to_user(&events));
        } else {
            self.keep(Subject::IvshmemRead, to_user(&events));
        }
        Ok(())
    }

    /// Edu, by the program in the guest, which measures itself: for each event
    /// how many cycles it took to the handler and to the process.
    fn edu(&mut self, cause: &str) -> Result<(Vec<Raw>, Vec<Raw>)> {
        let count = (self.events + WARM_UP).to_string();
        let gap = GAP.as_micros().to_string();
        let lines = image::run(&mut self.session, &["edu", cause, &count, &gap])?;
        let lines = lines.into_iter().skip(WARM_UP as usize);
        lines
            .map(|line| match line[..] {
                [isr, user] => Ok((Raw::Within(isr), Raw::Within(user))),
                _ => bail!("the program in the guest printed {line:?} about edu"),
            })
            .collect()
    }

    fn edu_raise(&mut self) -> Result<()> {
        // The handler is through before the process waits: nobody is woken.
        let (isr, _) = self.edu("raise")?;
        self.keep(Subject::EduRaiseIsr, isr);
        Ok(())
    }

    fn edu_factorial(&mut self) -> Result<()> {
        let (isr, user) = self.edu("factorial")?;
        self.keep(Subject::EduFactorialIsr, isr);
        self.keep(Subject::EduFactorialEventfd, user);
        Ok(())
    }

    fn cyclictest(&mut self) -> Result<()> {
        let count = (self.events + WARM_UP).to_string();
        let gap = GAP.as_micros().to_string();
        let mut words: Vec<&str> = CYCLICTEST.split_ascii_whitespace().collect();
        words.extend(["-i", &gap, "-l", &count]);
        let (status, stdout, stderr) = self.session.run(&words)?;
        ensure!(status == 0, "cyclictest failed: {}", stderr.trim());
        // Number of the thread, number of the loop, nanoseconds.
        let late = |line: &str| {
            let fields: Option<Vec<u64>> = line
                .split(':')
                .map(|field| field.trim().parse().ok())
                .collect();
            match fields?[..] {
                [_, number, nanos] if number >= WARM_UP => Some(Raw::Nanos(nanos)),
                _ => None,
            }
        };
        let late: Vec<_> = stdout.lines().filter_map(late).collect();
        ensure!(!late.is_empty(), "cyclictest printed no latency: {stdout}");
        self.keep(Subject::Timer, late);
        Ok(())
    }

    fn floor(&mut self) -> Result<()> {
        let Some(floor) = &mut self.floor else {
            return Ok(());
        };
        let mut round = Vec::new();
        for number in 0..self.events + WARM_UP {
            interrupt::check()?;
            let took = floor.interrupt()?;
            if number >= WARM_UP {
                round.push(Raw::Nanos(u64::try_from(took.as_nanos())?));
            }
        }
        self.keep(Subject::KvmFloor, round);
        Ok(())
    }
}

/// Raises events at an even pace, each when the one before has arrived; the
/// first few are not counted. `arrived` says when an event was raised and when
/// it arrived, once it has.
fn one_by_one<E>(
    events: u64,
    mut raise: impl FnMut(u64) -> Result<E>,
    arrived: impl Fn(&E) -> Option<(HostTsc, Arrival)>,
) -> Result<Vec<(HostTsc, Arrival)>> {
    let mut known = Vec::new();
    for number in 1..=events + WARM_UP {
        let event = raise(number)?;
        let due = Instant::now() + GAP;
        interrupt::sleep_until(due)?;
        let arrival = loop {
            match arrived(&event) {
                Some(arrival) => break arrival,
                None if due.elapsed() > LOST => bail!("event {number} was lost"),
                None => interrupt::sleep_until(Instant::now() + BACK_OFF)?,
            }
        };
        if number > WARM_UP {
            known.push(arrival);
        }
    }
    Ok(known)
}

fn to_isr(events: &[(HostTsc, Arrival)]) -> Vec<Raw> {
    let isr = |(raise, arrival): &(HostTsc, Arrival)| Raw::Across(*raise, arrival.isr);
    events.iter().map(isr).collect()
}

fn to_user(events: &[(HostTsc, Arrival)]) -> Vec<Raw> {
    let user = |(raise, arrival): &(HostTsc, Arrival)| Raw::Across(*raise, arrival.user);
    events.iter().map(user).collect()
}
