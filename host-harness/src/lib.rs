// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The host's side of irqbed: the program `irqbed` with its commands. Each reads its options,
//! calls one of the crates that boot, measure, observe and test, and says what came of it.

#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod cli;
mod doctor;
mod faults;
