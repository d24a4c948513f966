// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long something takes: events on their way from the device to a process, and accesses
//! to a register. [`measure`] runs events through a session, [`clock`] puts host and guest on
//! one clock, [`mod@bench`] makes a result of both, and [`ab`] has two states take turns. Nothing
//! here knows a scenario, or what the guest did meanwhile.

#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod ab;
pub mod bench;
pub mod bench_orders;
pub mod clock;
pub mod environment;
pub mod idle;
pub mod measure;
pub mod mmio;
pub mod pin;
pub mod saturate;
pub mod series;
