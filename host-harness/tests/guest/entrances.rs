// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The entrances of the driver, tried by a process that means no good
//! (`guest-agent/src/probe`).

use device_model::event::{Payload, Vector};
use irqbed_abi::control::{Behaviour, ListenerSpec};
use irqbed_machine::qemu::{ClockKind, Machine};
use irqbed_results::mechanism::{Context, Mechanism, Pair};

use crate::support::{Guest, machine, sh};

fn load(guest: &mut Guest, mechanism: Mechanism, context: Context) {
    let pair = Pair { mechanism, context };
    let parameters = pair.module_parameters().into_iter().flatten();
    let loaded = guest.session.load_module(parameters);
    loaded.unwrap_or_else(|error| panic!("{pair}: {error}"));
}

/// What the driver answers to each attempt.
fn probe(guest: &mut Guest, kind: &str) -> String {
    let ran = guest.session.run(&["/proc/1/exe", "probe", kind]);
    let (status, output, error) = ran.expect("it runs");
    assert_eq!((status, &*error), (0, ""), "{output}");
    output
}

#[test]
fn mapped_bars_go_with_the_device() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    for (mechanism, uio) in [(Mechanism::Read, false), (Mechanism::Uio, true)] {
        load(&mut guest, mechanism, Context::Hardirq);
        let mut maps = vec![
            "instrument",
            "its last page, to be read",
            "by another node",
            "doorbell",
        ];
        maps.extend(uio.then_some("by UIO"));
        let mut expected = vec![format!("listen: {}", if uio { "EOPNOTSUPP" } else { "ok" })];
        for (who, becomes) in [
            ("before", "read"),
            ("inherited", "SIGBUS"),
            ("own", "SIGBUS"),
        ] {
            expected.extend(maps.iter().map(|map| format!("{who}, {map}: {becomes}")));
        }
        if !uio {
            expected.push("queue: stopped 1".to_owned());
        }
        expected.extend(["map: ENODEV".to_owned()]);
        expected.push(format!(
            "listen: {}",
            if uio { "EOPNOTSUPP" } else { "ENODEV" }
        ));
        expected.push("reply: ENODEV".to_owned());
        let answers = probe(&mut guest, "mappings");
        assert_eq!(answers.lines().collect::<Vec<_>>(), expected);
        guest.session.unload_module().expect("nobody has it open");
    }
    guest.assert_quiet();
}

#[test]
fn no_call_on_a_file_is_answered_wrongly() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    load(&mut guest, Mechanism::Read, Context::Hardirq);
    let expected = "\
listen, no vector: EINVAL
listen, an odd size: EINVAL
listen, half a ring: EINVAL
listen, 2 GiB: EINVAL
listen, an eventfd: EINVAL
listen, a reserved field: EINVAL
another command: ENOTTY
stop before: EINVAL
read before: EINVAL
O_ASYNC before: EOPNOTSUPP
map before: EINVAL
listen: ok
listen again: EBUSY
map, a private copy: EINVAL
map, more than the BAR: EINVAL
map, behind the BAR: EINVAL
map, beyond its end: EINVAL
map, a page of the BAR: ok
map, before the queue: EINVAL
map, more than the queue: EINVAL
map, behind the queue: EINVAL
map, far behind the queue: EINVAL
map, its header, to be written: EACCES
map, tail and ring, to be written: EACCES
map, its ring, to be written: EACCES
map, a private queue: EINVAL
map, all of the queue: ok
map, its tail: ok
map, two doorbells: EINVAL
map, behind the doorbell: EINVAL
map, the far end: EINVAL
mprotect: EACCES
read, a short buffer: EINVAL
read, nothing there: EAGAIN
wait, no buffer: EAGAIN
read, a tail ahead: EINVAL
read, a tail odd: EINVAL
read, a tail behind: EINVAL
read, the right tail: EAGAIN
reply, open to read: EBADF
inherited: stop ok, then 0 bytes
";
    assert_eq!(probe(&mut guest, "calls"), expected);
    // Neither queue nor listener is left, and the file was closed by nobody.
    let counters = guest.flush();
    assert_eq!((counters.subscribers, counters.listeners_forgotten), (0, 0));
    guest.assert_quiet();
}

#[test]
fn a_queue_is_on_the_account_of_its_process() {
    const QUEUE: u32 = 16 << 20;
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    load(&mut guest, Mechanism::Read, Context::Hardirq);
    sh(
        &mut guest.session,
        "mkdir /tmp/groups; mount -t cgroup2 none /tmp/groups
        echo +memory >/tmp/groups/cgroup.subtree_control
        mkdir /tmp/groups/listeners; echo 1 >/tmp/groups/listeners/cgroup.procs",
    );
    let account = |guest: &mut Guest| -> u64 {
        let stat = "sed -n 's/^vmalloc //p' /tmp/groups/listeners/memory.stat";
        sh(&mut guest.session, stat)
            .trim()
            .parse()
            .expect("a number")
    };
    let before = account(&mut guest);
    let spec = ListenerSpec {
        receive_buffer: Some(QUEUE),
        ..ListenerSpec::new(Mechanism::Read, Behaviour::Count)
    };
    let listener = guest.session.listen(spec).expect("a listener");
    let with_it = account(&mut guest);
    assert!(
        with_it >= before + u64::from(QUEUE),
        "{before} bytes, then {with_it}"
    );
    guest
        .session
        .end_listener(listener, true)
        .expect("a report");
    assert!(account(&mut guest) < before + u64::from(QUEUE));
    guest.assert_quiet();
}

#[test]
fn a_flush_is_answered_to_the_socket_that_asked_and_to_no_other() {
    let mut guest = Guest::boot_bare(&Machine {
        vcpus: 2,
        ..machine(ClockKind::Wall)
    });
    load(&mut guest, Mechanism::Netlink, Context::Workqueue);
    // The worker has a second of work: the flush waits for it.
    sh(
        &mut guest.session,
        "echo 100000000 >/sys/module/irqbed/parameters/delay_ns",
    );
    for _ in 0..10 {
        let raised = guest
            .session
            .source()
            .raise(Vector::default(), Payload::Pattern(16));
        raised.expect("the device takes the event");
    }
    assert_eq!(probe(&mut guest, "flush"), "answer to another: false\n");
    sh(
        &mut guest.session,
        "echo 0 >/sys/module/irqbed/parameters/delay_ns",
    );
    // The next one is not held up by it.
    assert_eq!(guest.flush().events, 10);
    guest.assert_quiet();
}
