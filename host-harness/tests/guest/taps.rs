// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who looks at netlink on its way: a tap (`nlmon`), and a capture on it. The
//! kernel copies its own protocols to a tap in a way that a hard interrupt may
//! not.

use irqbed_abi::control::{Behaviour, ListenerSpec};
use irqbed_machine::qemu::ClockKind;
use irqbed_results::mechanism::{Context, Mechanism, Pair};

use crate::support::{Guest, machine};

const EVENTS: u64 = 200;

/// What no kernel lets a hard interrupt send while there is a tap.
const GENERIC: [Mechanism; 2] = [Mechanism::Genetlink, Mechanism::GenetlinkMulticast];

const NETLINK: [Mechanism; 4] = [
    Mechanism::Netlink,
    Mechanism::NetlinkBroadcast,
    Mechanism::Genetlink,
    Mechanism::GenetlinkMulticast,
];

/// A device for a tap, which is down.
pub fn add(guest: &mut Guest) {
    let made = "test -e /sys/module/nlmon || insmod /lib/modules/nlmon.ko
        ip link add nlmon0 type nlmon
        (exec /proc/1/exe capture </dev/null >/dev/null 2>&1) &";
    assert_eq!(sh(guest, made), (0, String::new()));
}

fn up(guest: &mut Guest) -> (i32, String) {
    sh(guest, "ip link set nlmon0 up")
}

/// Has netlink tapped, or not.
pub fn set(guest: &mut Guest, tapped: bool) {
    let script = format!("ip link set nlmon0 {}", if tapped { "up" } else { "down" });
    assert_eq!(sh(guest, &script), (0, String::new()));
}

/// Whether the driver lets netlink be tapped while it does this.
pub fn allowed(pair: Pair) -> bool {
    pair.context != Context::Hardirq || !GENERIC.contains(&pair.mechanism)
}

/// Messages that were tapped.
fn tapped(guest: &mut Guest) -> u64 {
    let (_, count) = sh(guest, "cat /sys/class/net/nlmon0/statistics/rx_packets");
    count.trim().parse().expect("a number")
}

/// Status and output of a script.
fn sh(guest: &mut Guest, script: &str) -> (i32, String) {
    let ran = guest.session.run(&["sh", "-ec", script]);
    let (status, output, error) = ran.expect("a shell runs");
    (status, output + &error)
}

fn load(guest: &mut Guest, pair: Pair) -> Result<(), String> {
    let parameters = pair.module_parameters().into_iter().flatten();
    let loaded = guest.session.load_module(parameters);
    loaded.map_err(|error| error.to_string())
}

fn events_arrive(guest: &mut Guest, pair: Pair) {
    let spec = ListenerSpec::new(pair.mechanism, Behaviour::Measure);
    let listener = guest.session.listen(spec).expect("a listener");
    assert_eq!(guest.raise(EVENTS, 64).delivered(), EVENTS, "{pair}");
    let report = guest.session.end_listener(listener, false);
    assert_eq!(report.expect("a report").received, EVENTS, "{pair}");
}

#[test]
fn no_message_is_tapped_where_that_would_be_an_error() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    add(&mut guest);
    for mechanism in GENERIC {
        let context = Context::Hardirq;
        let pair = Pair { mechanism, context };
        load(&mut guest, pair).unwrap_or_else(|error| panic!("{pair}: {error}"));
        let (status, says) = up(&mut guest);
        let forced = guest.session.handler_forced_by(&[]).expect("an answer");
        if forced.is_some() {
            // In the thread of a handler a message may be tapped.
            assert_eq!((status, says.as_str()), (0, ""), "{pair}");
            events_arrive(&mut guest, pair);
            guest.session.unload_module().expect("it unloads");
            set(&mut guest, false);
            continue;
        }
        assert!(
            status != 0 && says.contains("busy"),
            "{pair}: {status}, {says}"
        );
        events_arrive(&mut guest, pair);
        guest.session.unload_module().expect("it unloads");
        // Who came first stays.
        assert_eq!(up(&mut guest), (0, String::new()), "{pair} is gone");
        let refused = load(&mut guest, pair).expect_err("it is tapped");
        assert!(
            refused.contains("no tap by nlmon0: generic netlink is sent from a hard interrupt"),
            "{refused}"
        );
        set(&mut guest, false);
    }
    set(&mut guest, true);
    let pairs = Pair::of(&NETLINK, Context::ALL);
    for pair in pairs.into_iter().filter(|&pair| allowed(pair)) {
        let before = tapped(&mut guest);
        load(&mut guest, pair).unwrap_or_else(|error| panic!("{pair}: {error}"));
        events_arrive(&mut guest, pair);
        guest.session.unload_module().expect("it unloads");
        // A unit of one's own is not tapped.
        let seen = tapped(&mut guest) - before >= EVENTS;
        assert_eq!(seen, GENERIC.contains(&pair.mechanism), "{pair}");
    }
    guest.assert_quiet();
}
