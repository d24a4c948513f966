// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a guest does while an event is on its way: which instructions of which functions it
//! executes ([`path`]), and what its processors and tasks did meanwhile ([`trace`]). Both look
//! at events that `irqbed-measure` runs.

#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod path;
pub mod trace;
