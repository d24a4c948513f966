// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a measurement leaves: the document of a run with its stages and its account, where it
//! was measured, and how two are compared. Nothing here knows how a guest is booted.

#![warn(clippy::print_stderr, clippy::print_stdout)]

// What tests share is written as from outside.
#[cfg(test)]
extern crate self as irqbed_results;

pub mod account;
pub mod compare;
pub mod coverage;
pub mod environment;
pub mod mechanism;
pub mod placement;
pub mod ratio;
pub mod result;
pub mod stages;
pub mod units;
