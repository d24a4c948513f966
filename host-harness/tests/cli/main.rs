// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tests that run `irqbed` as a user does, and look at what a user sees: exit
//! status, standard output, standard error, and what is left behind.

mod ab;
mod action;
mod bench;
mod browser;
mod compare;
mod coverage;
mod dist;
mod docs;
mod doctor;
mod driver;
mod examples;
mod fault;
mod guest;
mod json;
mod kernel;
mod kills;
mod mmio;
mod new;
mod plug;
mod ports;
mod program;
mod pty;
mod qemu;
mod raise;
mod report;
mod run_vm;
mod sandbox;
mod setup;
mod signals;
mod sources;
mod suspend;
mod test;
mod usage;
mod verdict;
