// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tests that boot the real guest: real QEMU, real kernel, real driver, real
//! netlink. Each asserts on what the guest and the host both saw.

mod account;
mod clock;
mod coverage;
mod devices;
mod entrances;
mod failures;
mod family;
mod faults;
mod fuzz;
mod genetlink;
mod hotplug;
mod interrupts;
mod io_uring;
mod kernels;
mod lifecycle;
mod listeners;
mod load;
mod mechanisms;
mod misbehaviour;
mod path;
mod rates;
mod reconnect;
mod replies;
mod safe_contexts;
mod signals;
mod soak;
mod support;
mod suspend;
mod taps;
mod trace;
mod uio;
mod vfio;
mod wrong_replies;
