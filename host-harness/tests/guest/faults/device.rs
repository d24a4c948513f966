// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device that stops, lies in its registers, is gone or reset: the driver sets it up
//! anew.

use device_model::event::RaiseError;
use irqbed_abi::control::Mechanism;

use super::{
    RESET, SILENT,
    trial::{Trial, UNDER},
};
use crate::account::Outcome;

/// What the driver says beside, at a limited rate.
const STOPPED: &str = "the device stopped after a failed DMA access: set up anew";
const GONE: &str = "the device was gone: set up anew";
const NOT_READY: &str = "the device is not ready after enabling it";
const NOT_SET_UP: &str = "the device could not be set up anew";
const ALL_ONES: &str = "the device does not answer: registers read all ones";

/// Raises events under a fault that stops the device, and each time that it
/// does waits until the driver has set it up anew.
fn raise_again_and_again(trial: &mut Trial, fault: &str) -> (Outcome, u64) {
    let before = trial.counted();
    let mut stops = 0;
    trial.arm(fault);
    for _ in 0..UNDER {
        while let Err(error) = trial.raise(1, 1) {
            assert!(
                matches!(
                    error,
                    RaiseError::Dma { .. } | RaiseError::DmaStopped | RaiseError::NotEnabled
                ),
                "{fault}: {error}"
            );
            stops += 1;
            trial.guest.flush();
            trial.assert_ready(fault);
        }
    }
    let outcome = Outcome {
        before,
        faults: trial.clear(),
        after: trial.counted(),
    };
    (outcome, stops)
}

#[test]
fn a_device_that_stops_or_is_reset_behind_the_driver_is_set_up_anew() {
    let mut trial = Trial::boot();
    for (fault, said) in [
        ("dma-failed:length=32,after=50,chance=0.02,seed=5", STOPPED),
        ("dma-failed:length=4,after=50,count=1", STOPPED),
        ("reset:when=interrupt,after=100", RESET),
        ("reset:when=dma,after=100,count=3,chance=0.01", RESET),
    ] {
        let (outcome, stops) = raise_again_and_again(&mut trial, fault);
        assert!(outcome.hits() > 0 && stops > 0, "{fault}: {outcome:#?}");
        outcome.assert_balanced(fault);
        let recoveries = outcome.driver(|d| d.recoveries);
        assert!((1..=outcome.hits()).contains(&recoveries), "{outcome:#?}");
        trial.assert_said(&[said], 10, fault);
        trial.assert_as_before(fault);
    }
    // Nobody asks: the driver looks by itself.
    trial.arm("reset");
    trial.assert_ready("reset");
    trial.assert_said(&[RESET], 1, "reset");
    trial.assert_as_before("reset");
}

#[test]
fn a_device_that_was_gone_is_set_up_anew_when_it_is_back() {
    let mut trial = Trial::boot();
    for (fault, back) in [
        ("removed", None),
        ("removed:when=interrupt,after=20", None),
        ("removed:when=dma,after=20", Some("returned:delay=200ms")),
    ] {
        let before = trial.counted();
        trial.arm(fault);
        let raised = trial.raise(UNDER, 1);
        assert!(raised.is_err(), "{fault}");
        // The driver knows, whoever asks it.
        trial.guest.flush();
        trial.assert_said(&[SILENT], 1, fault);
        match back {
            Some(back) => trial.arm(back),
            None => drop(trial.clear()),
        }
        trial.assert_ready(fault);
        trial.clear();
        let outcome = Outcome {
            before,
            after: trial.counted(),
            faults: Vec::new(),
        };
        outcome.assert_balanced(fault);
        assert_eq!(outcome.driver(|d| d.recoveries), 1, "{fault}: {outcome:#?}");
        trial.assert_said(&[GONE], 1, fault);
        trial.assert_as_before(fault);
    }
}

#[test]
fn the_driver_unloads_from_a_device_that_is_gone_and_loads_when_it_is_back() {
    let mut trial = Trial::boot();
    trial.arm("removed");
    trial.guest.flush();
    trial.assert_said(&[SILENT], 1, "removed");
    let session = &mut trial.guest.session;
    session
        .end_listener(trial.listener, false)
        .expect("a report");
    session.unload_module().expect("the driver unloads");
    trial.assert_said(&[], 0, "unloaded");
    // The next one does not take what does not answer.
    let session = &mut trial.guest.session;
    session.load_module([]).expect("it waits for a device");
    trial.assert_said(&[ALL_ONES], 1, "loaded");
    let session = &mut trial.guest.session;
    session.unload_module().expect("the driver unloads");
    trial.clear();
    trial
        .guest
        .session
        .load_module([])
        .expect("the driver loads");
    let mut trial = Trial::with(trial.guest, Mechanism::Netlink);
    trial.assert_as_before("removed");
}

/// Raises events under a fault of registers, which the driver reads now and then.
fn while_asked(trial: &mut Trial, fault: &str) -> Outcome {
    let before = trial.counted();
    trial.arm(fault);
    for _ in 0..4 {
        trial
            .raise(UNDER / 4, 1)
            .expect("the device takes the events");
        trial.guest.flush();
    }
    let outcome = Outcome {
        before,
        faults: trial.clear(),
        after: trial.counted(),
    };
    assert!(outcome.hits() > 0, "{fault}: {outcome:#?}");
    outcome.assert_all_delivered(UNDER, fault);
    outcome
}

#[test]
fn registers_that_lie_do_not_disturb_events() {
    let mut trial = Trial::boot();
    // The status says READY by its bit 0.
    for (fault, said) in [
        ("reads-ones", &[SILENT][..]),
        ("reads-ones:bar=0,offset=24,size=4,chance=0.5", &[SILENT]),
        ("bits-stuck:offset=24,mask=0x3,value=0x3", &[]),
    ] {
        let outcome = while_asked(&mut trial, fault);
        assert_eq!(outcome.driver(|d| d.recoveries), 0, "{fault}");
        trial.assert_said(said, 10, fault);
        trial.assert_as_before(fault);
    }
    // A device that never says it is ready is set up anew, ever less often.
    let fault = "bits-stuck:offset=24,mask=0x1,value=0";
    while_asked(&mut trial, fault);
    trial.assert_said(&[NOT_READY, NOT_SET_UP], 3, fault);
    trial.assert_as_before(fault);
    trial.assert_said(&[], 0, fault);
}

/// Has the kernel reset the function, as a person may ask it to.
fn reset_by_sysfs(trial: &mut Trial, what: &str) {
    const SCRIPT: &str = "echo 1 > $(echo /sys/bus/pci/drivers/irqbed/0*/reset)";
    let argv = ["sh", "-c", SCRIPT];
    let (status, _, error) = trial.guest.session.run(&argv).expect("sh runs");
    assert_eq!((status, error.as_str()), (0, ""), "{what}");
}

#[test]
fn a_reset_that_the_kernel_was_asked_for_leaves_the_service_as_it_was() {
    let mut trial = Trial::boot();
    for irq in ["msix", "msi", "intx"] {
        if irq != "msix" {
            trial = trial.reload(&[("irq", irq)], Mechanism::Netlink);
        }
        for behind_its_back in [false, true] {
            if behind_its_back {
                // What the kernel saves then is what the reset left.
                trial.arm("reset");
            }
            trial.raise(UNDER, 1).ok();
            reset_by_sysfs(&mut trial, irq);
            trial.assert_ready(irq);
            trial.clear();
            trial.assert_said(&[RESET], 1, irq);
            trial.assert_as_before(irq);
        }
    }
}

#[test]
fn a_reset_that_the_kernel_was_asked_for_may_fail_as_any_other_may() {
    // The device never says that it is ready.
    let fault = "bits-stuck:offset=24,mask=0x1,value=0";
    let mut trial = Trial::boot();
    trial.arm(fault);
    let complaints = trial.guest.complaints().len();
    reset_by_sysfs(&mut trial, fault);
    let said = trial.guest.complaints().split_off(complaints);
    let failed = said.iter().any(|line| line.contains(NOT_SET_UP));
    assert!(failed, "{said:#?}");
    trial.clear();
    trial.guest.flush();
    trial.assert_said(&[NOT_READY, NOT_SET_UP], 3, fault);
    trial.assert_as_before(fault);
}
