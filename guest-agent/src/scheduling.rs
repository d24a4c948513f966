// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where and with what priority a process runs.

#![allow(unsafe_code)]

use std::io;

use anyhow::{Context, Result, ensure};
use irqbed_abi::control::ListenerSpec;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Puts this process where a listener's wishes say.
pub fn apply(spec: &ListenerSpec) -> Result<()> {
    if let Some(cpu) = spec.cpu {
        pin(cpu as usize)?;
    }
    spec.fifo.map_or(Ok(()), fifo)
}

/// Binds this process to one processor.
pub fn pin(cpu: usize) -> Result<()> {
    let there = sched_getaffinity(None).context("cannot ask for the processors")?;
    ensure!(
        cpu < CpuSet::MAX_CPU && there.is_set(cpu),
        "there is no processor {cpu} in the guest: it has {}",
        there.count()
    );
    let mut one = CpuSet::new();
    one.set(cpu);
    sched_setaffinity(None, &one).with_context(|| format!("cannot run on processor {cpu} alone"))
}

/// Gives this process a priority in `SCHED_FIFO`, 1 to 99.
fn fifo(priority: u8) -> Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority.into(),
    };
    // SAFETY: the structure is read during the call only.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(error).with_context(|| format!("cannot run in SCHED_FIFO at priority {priority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_that_is_not_there_is_named() {
        for cpu in [CpuSet::MAX_CPU - 1, CpuSet::MAX_CPU, usize::MAX] {
            let error = pin(cpu).expect_err("so many processors");
            assert!(error.to_string().contains(&cpu.to_string()), "{error}");
        }
    }
}
