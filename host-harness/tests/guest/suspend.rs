// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest that is suspended and resumes while its device raises events.

use std::{thread, time::Duration};

use device_model::event::EventDevice;
use irqbed_abi::control::{Behaviour, PmTest, SleepState, Suspend};
use irqbed_machine::{
    qemu::{ClockKind, Machine, Port},
    session::SessionError,
};
use irqbed_results::mechanism::{InterruptType, Mechanism};

use crate::{
    account,
    mechanisms::roomy,
    support::{Guest, machine, sh, unicast},
};

const PORT: Port = Port(0);
/// How long a guest sleeps here.
const ASLEEP: Duration = Duration::from_millis(300);

const fn real(state: SleepState) -> Suspend {
    Suspend {
        state,
        pm_test: None,
        pause_s: 0,
    }
}

/// Every suspend that there is: the tests of each level, and the real ones.
fn all() -> impl Iterator<Item = Suspend> {
    let states = [SleepState::Freeze, SleepState::Mem];
    let levels = || [None].into_iter().chain(PmTest::ALL.map(Some));
    let each = states.into_iter().flat_map(move |state| {
        levels().map(move |pm_test| Suspend {
            pm_test,
            ..real(state)
        })
    });
    each.filter(Suspend::is_possible)
}

/// Hibernates as far as the image is made and no further: `freeze` and `thaw` of each
/// driver.
fn hibernate(guest: &mut Guest) {
    let script = "cd /sys/power; echo core >pm_test; echo disk >state; echo none >pm_test";
    sh(&mut guest.session, script);
}

/// Has the guest sleep while events are on their way to a listener, and closes the
/// account of what was raised before, meanwhile and after. Then each of a thousand
/// events arrives.
fn sleep_under_load(guest: &mut Guest, how: &str, sleep: impl FnOnce(&mut Guest)) {
    let outcome = account::over(guest, Mechanism::Netlink, 2, |guest| {
        thread::sleep(Duration::from_millis(50));
        sleep(guest);
        thread::sleep(Duration::from_millis(50));
    });
    outcome.assert_balanced(how);
    let spec = roomy(Mechanism::Netlink, Behaviour::Measure);
    let listener = guest.session.listen(spec).expect("a listener");
    let delivered = guest.raise_one_by_one(1000, 64).delivered();
    let counted = (guest.flush(), guest.session.source().counters());
    assert_eq!(delivered, 1000, "{how}: {counted:#?}");
    let report = guest.session.end_listener(listener, false);
    let report = report.expect("a report");
    assert_eq!((report.received, report.bad_payload), (1000, 0), "{how}");
}

#[test]
fn the_account_balances_over_every_suspend_and_what_comes_after_is_delivered() {
    let mut guest = Guest::boot_empty(&Machine {
        ports: 1,
        suspends_to_ram: true,
        vcpus: 2,
        ..machine(ClockKind::Wall)
    });
    for (irq, context, levels) in [
        (InterruptType::Msix, "workqueue", true),
        (InterruptType::Msi, "threaded", false),
        (InterruptType::Intx, "hardirq", false),
    ] {
        let parameters = [("irq", irq.as_str()), ("context", context)];
        let parameters = parameters.map(|(name, value)| (name, value.to_owned()));
        guest.session.load_module(parameters).expect("it loads");
        let device = EventDevice::new().expect("there is memory");
        let device = match irq {
            InterruptType::Msix => device,
            InterruptType::Msi | InterruptType::Intx => device.without_msix(),
        };
        guest.session.plug(PORT, device).expect("it is plugged in");
        guest.session.wait_until_driven(PORT).expect("it is driven");
        for suspend in all().filter(|suspend| levels || suspend.pm_test.is_none()) {
            sleep_under_load(&mut guest, &suspend.to_string(), |guest| {
                let slept = guest.session.guest().suspend(suspend, ASLEEP);
                slept.unwrap_or_else(|error| panic!("{suspend}: {error}"));
            });
        }
        sleep_under_load(&mut guest, "hibernation", hibernate);
        guest.session.unplug(PORT).expect("it is pulled");
        guest.session.unload_module().expect("nothing is left");
    }
    guest.session.power_off().expect("it ends in good order");
}

#[test]
fn a_suspend_that_cannot_be_is_refused_and_the_guest_goes_on() {
    let mut guest = Guest::boot();
    let mut refused = |suspend| {
        let refused = guest.session.guest().suspend(suspend, ASLEEP);
        let refused = refused.expect_err("it is refused");
        assert!(matches!(refused, SessionError::Suspend(_)), "{refused}");
        refused.to_string()
    };
    let no_ram = refused(real(SleepState::Mem));
    assert!(no_ram.contains("without suspend to RAM"), "{no_ram}");
    let no_test = refused(Suspend {
        pm_test: Some(PmTest::Core),
        ..real(SleepState::Freeze)
    });
    assert!(no_test.contains("suspend to idle"), "{no_test}");
    let freeze = real(SleepState::Freeze);
    guest
        .session
        .guest()
        .suspend(freeze, ASLEEP)
        .expect("it can be");
    guest.session.listen(unicast()).expect("a listener");
    assert_eq!(guest.raise(100, 16).delivered(), 100);
}
