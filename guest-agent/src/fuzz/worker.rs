// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A process that uses the driver in ways that nobody thought of: one system call
//! after the other on every entrance the driver has.

use std::collections::BTreeMap;

use anyhow::Result;
use fastrand::Rng;

use super::{
    state::State,
    sys::{self, Answer},
};
use crate::genetlink::Family;

/// Most system calls of a child, which has no children of its own.
const CHILD: u64 = 20;

/// One of the processes.
pub struct Worker {
    state: State,
    is_child: bool,
    /// Calls by name: how many succeeded, and how many did not.
    pub calls: BTreeMap<&'static str, [u64; 2]>,
}

impl Worker {
    pub fn new(seed: u64, unit: u32, family: Option<Family>) -> Result<Self> {
        Ok(Self {
            state: State::new(seed, unit, family)?,
            is_child: false,
            calls: BTreeMap::new(),
        })
    }

    /// Makes so many system calls.
    pub fn run(&mut self, operations: u64) {
        for _ in 0..operations {
            self.step();
        }
    }

    fn step(&mut self) {
        let state = &mut self.state;
        if state.is_full() {
            let _ = state.drop_one();
        }
        let (name, answer) = match state.rng.u16(..1000) {
            0..100 => ("open", state.open()),
            100..150 => ("close", state.drop_one()),
            150..300 => ("ioctl", state.ioctl()),
            300..360 => ("read", state.read()),
            360..400 => ("write", state.write()),
            400..440 => ("poll", state.poll()),
            440..520 => ("mmap", state.map()),
            520..570 => ("touch", state.touch()),
            570..600 => ("remap", state.remap()),
            600..740 => ("send", state.send()),
            740..840 => ("receive", state.receive()),
            840..890 => ("sockopt", state.socket_option()),
            890..935 => ("bind", state.bind()),
            935..970 => ("fcntl", state.control()),
            970..990 => ("pass", state.pass()),
            // These take as long as a hundred others.
            990..994 => ("fork", self.fork()),
            // And these as a thousand.
            999 if state.rng.u8(..8) == 0 => ("sysfs", state.sysfs()),
            _ => ("reap", self.reap()),
        };
        let count = self.calls.entry(name).or_default();
        count[usize::from(answer.is_err())] += 1;
    }

    /// A child that has all that this process has, and ends in the middle of it.
    fn fork(&mut self) -> Answer {
        if self.is_child {
            return Err(libc::EAGAIN);
        }
        if sys::fork()? {
            self.is_child = true;
            sys::survive_signals();
            // Not what the parent does next.
            self.state.rng = Rng::with_seed(self.state.rng.u64(..) ^ 0x5eed);
            let operations = self.state.rng.u64(..CHILD);
            self.run(operations);
            sys::leave();
        }
        Ok(0)
    }

    fn reap(&mut self) -> Answer {
        sys::reap();
        Ok(0)
    }
}
