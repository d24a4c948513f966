// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The host's side of irqbed: boots a guest with the event device in it,
//! drives the device, and turns the trace slots that host, driver and agent
//! have stamped into one latency distribution per stage.
//!
//! A session of `irqbed_machine` is a booted guest with a device; [`measure`] runs
//! events through it; a result of `irqbed_results` is what comes out.

#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod ab;
pub mod bench;
pub mod cli;
pub mod clock;
mod doctor;
pub mod environment;
mod faults;
pub mod idle;
pub mod interleave;
pub mod measure;
pub mod mmio;
pub mod path;
pub mod pin;
pub mod plugging;
pub mod saturate;
pub mod scenario;
pub mod series;
pub mod trace;
pub mod trial;
