// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::*;
use crate::{
    Bus, DeviceSpec, Identity, IntxPin, Signalled, device_panic::PanicWatch, irq::IrqKind,
};

/// Loses each interrupt that it is asked of, and counts its ends.
#[derive(Default)]
struct Loser {
    ends: Arc<AtomicU32>,
}

impl BusHook for Loser {
    fn on_interrupt(&self, _: IrqKind, _: u32, _: u32) -> InterruptDecision {
        InterruptDecision::Lost
    }

    fn on_end(&self) {
        self.ends.fetch_add(1, Ordering::Relaxed);
    }
}

struct Other;

impl BusHook for Other {}

fn bus() -> Bus {
    let spec = DeviceSpec::new(Identity::new(1, 1)).intx(IntxPin::A);
    Bus::new(&spec, PanicWatch::default())
}

#[test]
fn a_hook_is_asked_at_its_sites_alone() {
    let bus = bus();
    let irq = bus.irqs.intx();
    assert!(bus.hooks.get_or_attach(|_| Loser::default()).is_some());
    assert_eq!(irq.raise().unwrap(), Signalled::Pending);
    bus.hooks.function().ask_at(site::INTERRUPT);
    assert_eq!(irq.raise().unwrap(), Signalled::Sent, "so it seems");
    bus.hooks.function().ask_at(0);
    assert_eq!(irq.raise().unwrap(), Signalled::Pending);
}

#[test]
fn a_function_that_is_gone_interrupts_nobody_whatever_its_hook_says() {
    let bus = bus();
    bus.hooks.function().remove();
    assert_eq!(bus.irqs.intx().raise().unwrap(), Signalled::Off);
}

#[test]
fn there_is_one_hook_and_the_first_stays() {
    let bus = bus();
    assert!(bus.hooks.get_or_attach(|_| Other).is_some());
    assert!(bus.hooks.get_or_attach(|_| Loser::default()).is_none());
    assert!(bus.hooks.get_or_attach(|_| Other).is_some());
}

#[test]
fn a_hook_hears_of_the_end_also_where_it_comes_behind_it() {
    for late in [false, true] {
        let (bus, ends) = (bus(), Arc::default());
        let attach = || {
            let make = |_: &Arc<HookedFunction>| Loser {
                ends: Arc::clone(&ends),
            };
            assert!(bus.hooks.get_or_attach(make).is_some());
        };
        if !late {
            attach();
        }
        bus.hooks.close();
        if late {
            attach();
        }
        assert_eq!(ends.load(Ordering::Relaxed), 1);
    }
}
