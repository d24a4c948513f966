// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The host's side of irqbed: boots a guest with the event device in it,
//! drives the device, and turns the trace slots that host, driver and agent
//! have stamped into one latency distribution per stage.
//!
//! A [`session::Session`] is a booted guest with a device; [`measure`] runs
//! events through it; [`result`] is what comes out.

#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod ab;
pub mod accel;
pub mod agent;
pub mod artefacts;
pub mod bench;
pub mod cli;
pub mod clock;
pub mod console;
pub mod doctor;
pub mod environment;
pub mod faults;
mod group;
pub mod idle;
pub mod initramfs;
pub mod interrupt;
pub mod kernel_report;
pub mod kmod;
mod lines;
pub mod measure;
pub mod mmio;
pub mod path;
pub mod pin;
pub mod plugging;
pub mod progress;
pub mod qemu;
pub mod qmp;
pub mod saturate;
pub mod scenario;
pub mod series;
pub mod session;
pub mod trace;
pub mod trial;
pub mod turns;

// Where results are made their parts go by these names.
pub use irqbed_results::{
    account, compare, mechanism, ratio, report, result, stages, table, units,
};
