// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Devices that come and go while the guest runs, and the driver that is there
//! before and after them.

use std::{thread, time::Duration};

use device_model::{
    edu::EduDevice,
    event::{EventDevice, Payload, RaiseError, Vector},
};
use irqbed_machine::{
    qemu::{ClockKind, Machine, Port},
    session::{PlugError, SessionError},
};
use irqbed_results::mechanism::{Context, InterruptType, Mechanism, Pair};
use serde_json::json;

use crate::{
    account,
    support::{Guest, machine, sh, unicast},
};

const FIRST: Port = Port(0);
const SECOND: Port = Port(1);

fn event_device() -> EventDevice {
    EventDevice::new().expect("there is memory")
}

/// A guest with two ports and the driver, which waits for a device.
fn boot(irq: InterruptType) -> Guest {
    let mut guest = Guest::boot_ports(2);
    load(&mut guest, irq);
    guest
}

fn load(guest: &mut Guest, irq: InterruptType) {
    load_for(guest, irq, Mechanism::Netlink);
}

fn load_for(guest: &mut Guest, irq: InterruptType, mechanism: Mechanism) {
    let pair = Pair {
        mechanism,
        context: Context::Hardirq,
    };
    let parameters = pair.module_parameters().into_iter().flatten();
    let irq = ("irq", irq.as_str().to_owned());
    let loaded = guest.session.load_module(parameters.chain([irq]));
    loaded.unwrap_or_else(|error| panic!("{pair}: {error}"));
}

/// Plugs an event device in and waits until it is driven.
fn plug(guest: &mut Guest, device: EventDevice) {
    guest.session.plug(FIRST, device).expect("it is plugged in");
    guest
        .session
        .wait_until_driven(FIRST)
        .expect("it is driven");
}

fn pci_devices(guest: &mut Guest) -> Vec<String> {
    let listed = sh(&mut guest.session, "ls /sys/bus/pci/devices");
    listed.lines().map(str::to_owned).collect()
}

fn serves(guest: &mut Guest, events: u64) {
    let number = guest.session.listen(unicast()).expect("a listener");
    assert_eq!(guest.raise_one_by_one(events, 64).delivered(), events);
    let report = guest.session.end_listener(number, false).expect("a report");
    assert_eq!((report.received, report.bad_payload), (events, 0));
}

/// Pulls the device while events are on their way to a listener, and closes its
/// account.
fn pull_under_load(guest: &mut Guest, mechanism: Mechanism) {
    let outcome = account::over(guest, mechanism, 1, |guest| {
        thread::sleep(Duration::from_millis(100));
        guest.session.unplug(FIRST).expect("it is pulled");
    });
    outcome.assert_balanced(&format!("{mechanism:?}, pulled"));
}

#[test]
fn the_driver_drives_a_device_that_is_plugged_in_and_the_next_one() {
    let mut guest = boot(InterruptType::Msix);
    let empty = pci_devices(&mut guest);
    for events in [1000, 100] {
        plug(&mut guest, event_device());
        assert_eq!(guest.session.source().armed_vectors(), u32::MAX);
        assert_eq!(pci_devices(&mut guest).len(), empty.len() + 1);
        serves(&mut guest, events);
        guest.session.unplug(FIRST).expect("it is pulled");
        assert_eq!(pci_devices(&mut guest), empty);
        let raised = guest
            .session
            .source()
            .raise(Vector::default(), Payload::Pattern(16));
        assert_eq!(raised, Err(RaiseError::NotEnabled));
    }
    guest.session.unload_module().expect("nothing is left");
    guest.assert_quiet();
    guest.session.power_off().expect("it ends in good order");
}

#[test]
fn a_device_pulled_in_the_middle_of_its_events_leaves_an_account_that_balances() {
    let mut guest = Guest::boot_ports(1);
    for &irq in InterruptType::ALL {
        load(&mut guest, irq);
        let device = || match irq {
            InterruptType::Msix => event_device(),
            InterruptType::Msi | InterruptType::Intx => event_device().without_msix(),
        };
        // More than once: what the last one leaves behind, its successor meets.
        for _ in 0..4 {
            plug(&mut guest, device());
            serves(&mut guest, 100);
            pull_under_load(&mut guest, Mechanism::Netlink);
        }
        plug(&mut guest, device());
        serves(&mut guest, 100);
        guest.session.unplug(FIRST).expect("it is pulled idle");
        guest.session.unload_module().expect("nothing is left");
    }
    guest.assert_quiet();
}

#[test]
fn every_listener_receives_what_was_sent_before_the_device_was_pulled() {
    let mut guest = Guest::boot_ports(1);
    for mechanism in guest.known(Mechanism::ALL) {
        // Who drives the device itself is in `vfio.rs`.
        if mechanism == Mechanism::Vfio {
            continue;
        }
        load_for(&mut guest, InterruptType::Msi, mechanism);
        plug(&mut guest, event_device().without_msix());
        pull_under_load(&mut guest, mechanism);
        guest.session.unload_module().expect("nothing is left");
    }
    guest.assert_quiet();
}

#[test]
fn a_device_behind_an_iommu_comes_and_goes() {
    let mut guest = Guest::boot_empty(&Machine {
        ports: 1,
        iommu: true,
        ..machine(ClockKind::Wall)
    });
    load(&mut guest, InterruptType::Msix);
    for _ in 0..2 {
        plug(&mut guest, event_device());
        serves(&mut guest, 100);
        guest.session.unplug(FIRST).expect("it is pulled");
    }
    guest.assert_quiet();
    // Its end moves the memory of devices that are not there any more.
    guest.session.power_off().expect("it ends in good order");
}

#[test]
fn a_device_that_fell_silent_is_pulled_and_another_takes_its_place() {
    let mut guest = boot(InterruptType::Msix);
    plug(&mut guest, event_device());
    let listener = guest.session.listen(unicast()).expect("a listener");
    let faults = guest.session.source().faults();
    let removed = "removed:when=interrupt,after=10".parse();
    faults.arm(removed.expect("a fault")).expect("it is armed");
    let source = guest.session.source().clone();
    for _ in 0..20 {
        // From the eleventh interrupt on nobody hears of it.
        let _ = source.raise(Vector::default(), Payload::Pattern(16));
        thread::sleep(Duration::from_millis(1));
    }
    assert!(faults.is_removed());
    guest.session.unplug(FIRST).expect("it is pulled");
    let report = guest.session.end_listener(listener, false);
    let received = report.expect("a report").received;
    // Its record was written before: a driver that is slow to take the tenth takes it.
    assert!((10..=11).contains(&received), "{received}");
    plug(&mut guest, event_device());
    serves(&mut guest, 100);
    // The watchdog may have read its registers before it was pulled.
    let mut complaints = guest.complaints();
    complaints.retain(|line| !line.contains("0000:01:00.0: the device does not answer"));
    assert!(complaints.is_empty(), "kernel warnings: {complaints:#?}");
}

#[test]
fn any_device_is_plugged_in_beside_another_and_pulled() {
    let mut guest = boot(InterruptType::Msix);
    plug(&mut guest, event_device());
    let before = pci_devices(&mut guest);
    for _ in 0..2 {
        let edu = EduDevice::new();
        guest.session.guest().plug(SECOND, edu).expect("plugged in");
        // What was written to the register reads inverted, as a sign of life.
        let alive = sh(
            &mut guest.session,
            "edu=/sys/bus/pci/devices/0000:02:00.0
            # It is there a moment before its BARs have their places.
            bar=0
            until [ $((bar)) -ne 0 ]; do
              sleep 0.05
              bar=$(head -n 1 $edu/resource 2>/dev/null | cut -d ' ' -f 1)
            done
            cat $edu/device; echo 1 >$edu/enable
            devmem $((bar + 4)) 32 0x12345678; devmem $((bar + 4)) 32",
        );
        assert_eq!(alive, "0x11e8\n0xEDCBA987\n");
        guest.session.guest().unplug(SECOND).expect("it is pulled");
        assert_eq!(pci_devices(&mut guest), before);
    }
    serves(&mut guest, 100);
    guest.assert_quiet();
}

#[test]
fn the_guest_may_let_go_of_a_device_by_itself() {
    let mut guest = boot(InterruptType::Msix);
    for _ in 0..2 {
        plug(&mut guest, event_device());
        let ejected = "for slot in /sys/bus/pci/slots/*; do
              [ $(cat $slot/address) != 0000:01:00 ] || echo 0 >$slot/power
            done
            ls /sys/bus/pci/devices | grep -c 0000:01 || true";
        assert_eq!(sh(&mut guest.session, ejected), "0\n");
    }
    guest.session.unplug(FIRST).expect("it is gone already");
    let error = guest.session.unplug(FIRST).expect_err("it is empty");
    assert!(matches!(error, SessionError::Plug(PlugError::Empty(FIRST))));
    guest.assert_quiet();
}

#[test]
fn the_last_device_that_would_end_qemu_stays_with_a_reason() {
    let mut guest = boot(InterruptType::Msix);
    let stays = loop {
        plug(&mut guest, event_device());
        if let Err(error) = guest.session.unplug(FIRST) {
            break error;
        }
    };
    assert!(
        matches!(&stays, SessionError::Plug(PlugError::MsixStays { port: FIRST, holds }) if *holds > 0),
        "{stays}"
    );
    assert!(stays.to_string().contains("subregion->container == mr"));
    // It works, and others come and go.
    serves(&mut guest, 100);
    let edu = EduDevice::new();
    guest.session.guest().plug(SECOND, edu).expect("plugged in");
    guest.session.guest().unplug(SECOND).expect("it is pulled");
    guest.assert_quiet();
    // The reason still holds: when it does not, no device need be held.
    let last = guest.session.guest().plugged(FIRST).expect("it stays");
    assert_eq!(last.ended(), None);
    let qmp = guest.session.guest().qmp().expect("there are ports");
    let named = qmp.execute("qom-list", json!({ "path": "/machine/peripheral" }));
    let named = named.expect("a list");
    let mut names = named.as_array().expect("a list").iter();
    let last = names.find_map(|entry| entry["name"].as_str().filter(|name| name.contains("card")));
    let request = json!({ "id": last.expect("it stays") });
    qmp.execute("device_del", request).expect("it is asked for");
    let ended = guest
        .session
        .wait_for_end()
        .expect("QEMU can be waited for");
    assert!(!ended.success(), "QEMU frees a device with MSI-X: {ended}");
}

#[test]
fn what_cannot_be_plugged_is_refused_with_words() {
    let mut guest = boot(InterruptType::Msix);
    plug(&mut guest, event_device());
    let mut refused = |port| {
        let refused = guest.session.guest().plug(port, EduDevice::new());
        refused.expect_err("it is refused").to_string()
    };
    assert_eq!(
        refused(FIRST),
        "port 0 has a device in it: unplug it first, or take another port"
    );
    assert_eq!(
        refused(Port(2)),
        "there is no port 2: the machine has ports 0 to 1"
    );
    let empty = guest.session.unplug(SECOND).expect_err("it is refused");
    assert_eq!(empty.to_string(), "port 1 has no device in it");
    drop(guest);

    let mut guest = Guest::boot();
    assert!(guest.session.guest().qmp().is_none());
    let plugged = guest.session.guest().plug(FIRST, EduDevice::new());
    assert_eq!(
        plugged.expect_err("it is refused").to_string(),
        "there is no port 0: the machine was started without any, give it some by Machine::ports"
    );
    let second = guest.session.plug(FIRST, event_device());
    assert!(matches!(
        second.expect_err("it is refused"),
        SessionError::Plug(PlugError::HasDevice)
    ));
    guest.session.listen(unicast()).expect("a listener");
    assert_eq!(guest.raise(100, 16).delivered(), 100);
}
