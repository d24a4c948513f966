// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said of events in traces that were recorded in a guest. One unit of
//! their clock counts as a nanosecond here.

use std::time::Duration;

use device_model::{GuestTsc, HostTsc, event::Seq};
use irqbed_abi::{
    control::{Behaviour, ListenerSpec, Mechanism, Task},
    trace::VERDICT_OK,
};
use irqbed_measure::{
    clock::{Calibration, WallClock},
    measure::Trace,
};
use irqbed_results::{mechanism::Context, units::Nanos};

use super::{
    Slow,
    analysis::{Evidence, legs},
    ftrace::Ftrace,
    names::Names,
};

/// A vCPU without work: the timer, then the interrupt of the device.
const IDLE: &str = include_str!("excerpts/idle.txt");
/// The second of two vCPUs, under `--load net`: the interrupt's thread, and long
/// after it the listener.
const THREADED: &str = include_str!("excerpts/threaded.txt");

fn event(raise: u64, isr: u64, notify: u64, user: u64) -> Trace {
    let stamp = |at: u64| (at != 0).then_some(GuestTsc(at));
    Trace {
        seq: Seq::new(51).expect("a number"),
        raise: Some(HostTsc(raise)),
        isr: stamp(isr),
        notify: stamp(notify),
        user: stamp(user),
        reply: None,
        command: None,
        device: None,
        verdict: VERDICT_OK,
    }
}

/// A clock on which host and guest count the same nanoseconds.
fn clock_of_nanoseconds() -> WallClock {
    let [before, after] = [0, 1_000].map(|nanos| Calibration {
        offset: 0,
        bound: 0,
        at: (HostTsc(nanos), Duration::from_nanos(nanos)),
    });
    WallClock::between(&before, &after)
}

fn task(pid: i32, arguments: &[&str]) -> Task {
    Task {
        pid,
        tgid: pid,
        ppid: 1,
        name: "exe".to_owned(),
        arguments: arguments.iter().map(ToString::to_string).collect(),
    }
}

fn listener(pid: i32) -> Task {
    let spec = ListenerSpec::new(Mechanism::Netlink, Behaviour::Measure);
    let spec = serde_json::to_string(&spec).expect("JSON");
    task(pid, &["/proc/self/exe", "listen", &spec])
}

fn said(text: &str, cpus: u32, context: Context, tasks: &[Task], trace: &Trace) -> String {
    let ftrace = Ftrace::read(text.as_bytes());
    assert_eq!(ftrace.unread, 0);
    let names = Names::new(tasks, &ftrace.entries);
    let clock = clock_of_nanoseconds();
    let evidence = Evidence {
        entries: &ftrace.entries,
        clock: &clock,
        cpus: (0..cpus).collect(),
        names: &names,
        context,
    };
    let taken = trace.user.zip(trace.raise);
    let slow = Slow {
        seq: trace.seq.get(),
        limit: Nanos(500_000),
        taken: taken.map(|(user, raise)| Nanos(user.0 - raise.0)),
        legs: legs(&evidence, trace),
        gaps: Vec::new(),
        names,
    };
    slow.to_string()
}

#[test]
fn an_idle_guest_is_not_blamed_for_a_late_interrupt() {
    let trace = event(7_082_467_000, 7_084_840_000, 7_084_840_300, 7_085_294_000);
    let said = said(IDLE, 1, Context::Hardirq, &[listener(116)], &trace);
    let expected = "\
event 51 took 2.83 ms from raise to user, more than 500 µs:

raise to ISR: 2.37 ms
  CPU 0 took the interrupt; until then it was
        +0.0 µs   1.88 ms  idle
     +1876.9 µs    372 µs  in interrupt local_timer
     +2249.1 µs   37.6 µs  idle
     +2286.7 µs   86.3 µs  in interrupt irqbed0-0
  the guest had nothing to do: QEMU or the host took that long

ISR to notify: 300 ns
  CPU 0 was in interrupt irqbed0-0

notify to user: 454 µs
  task `listener` (pid 116) had been woken by interrupt irqbed0-0 and waited 152 µs for CPU 0, which was
     +2373.3 µs   8.96 µs  in interrupt irqbed0-0
     +2382.3 µs    144 µs  idle
  task `listener` (pid 116) had CPU 0 for 301 µs
";
    assert_eq!(said.split("\n(").next(), Some(expected), "{said}");
}

#[test]
fn a_thread_and_a_process_that_wait_for_a_load_are_followed() {
    let trace = event(
        18_694_200_000,
        18_694_390_000,
        18_694_530_000,
        18_705_100_000,
    );
    let load = task(159, &["/proc/self/exe", "load", "net", "1"]);
    let said = said(
        THREADED,
        2,
        Context::Threaded,
        &[listener(156), load],
        &trace,
    );
    for words in [
        "CPU 1 took the interrupt",
        "in softirq NET_RX, on top of task `load net` (pid 159)",
        "task `irq/24-irqbed0-` (pid 124) slept for 13.9 µs",
        "task `irq/24-irqbed0-` (pid 124) was woken by interrupt irqbed0-0 and waited 112 µs for \
         CPU 1, which was running task `load net` (pid 159)",
        "task `listener` (pid 156) was woken by task `irq/24-irqbed0-` (pid 124) and waited \
         10.4 ms for CPU 1",
        "task `listener` (pid 156) had CPU 1 for 113 µs",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
}

#[test]
fn an_event_that_never_arrived_is_followed_as_far_as_it_came() {
    let lost = event(7_082_467_000, 7_084_840_000, 7_084_840_300, 0);
    let lost = said(IDLE, 1, Context::Hardirq, &[listener(116)], &lost);
    assert!(
        lost.contains("ISR to notify: 300 ns") && lost.contains("the process never had it"),
        "{lost}"
    );
    let stuck = event(7_082_467_000, 0, 0, 0);
    let stuck = said(IDLE, 1, Context::Hardirq, &[listener(116)], &stuck);
    assert!(
        stuck.contains("no interrupt handler has taken it"),
        "{stuck}"
    );
}

#[test]
fn a_trace_without_the_event_says_so() {
    let trace = event(10, 20, 30, 40);
    let said = said("", 2, Context::Workqueue, &[], &trace);
    assert_eq!(said.matches("the trace does not say").count(), 3, "{said}");
}
