// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed raise`: asks the device of a running guest to interrupt.

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;
use clap::{Args, value_parser};
use device_model::control::{MAX_COUNT, Reply, Request};
use irqbed_abi::{pci::VECTORS, ring::MAX_PAYLOAD};

use super::control::connect;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Vector (0 to 31)
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u32).range(0..i64::from(VECTORS)))]
    vector: u32,
    /// Events, one after the other (1 to 1000000)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=i64::from(MAX_COUNT)))]
    count: u32,
    /// What each event carries, at most 4096 bytes
    #[arg(long, value_name = "TEXT", default_value = "hello", value_parser = payload)]
    payload: String,
    /// Socket of the running guest, where `run-vm` was given another one
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
}

fn payload(text: &str) -> Result<String, String> {
    if text.len() <= MAX_PAYLOAD as usize {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{} bytes, the device takes at most {MAX_PAYLOAD}",
            text.len()
        ))
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut client = connect(arguments.control.as_deref())?;
    let request = Request::Raise {
        vector: arguments.vector,
        count: arguments.count,
        payload: arguments.payload.clone(),
    };
    let (first_seq, count, ring_overflow) = match client.ask(&request)? {
        Reply::Raised {
            first_seq,
            count,
            ring_overflow,
        } => (first_seq, count, ring_overflow),
        Reply::Failed { error } => bail!(error),
        other => bail!("the device answered something else: {other:?}"),
    };
    let vector = arguments.vector;
    super::print(&match count {
        1 => format!("raised event {first_seq} on vector {vector}\n"),
        _ => format!("raised {count} events on vector {vector}, from number {first_seq}\n"),
    })?;
    if ring_overflow > 0 {
        bail!("{ring_overflow} of them were lost: the ring stayed full");
    }
    if count < arguments.count {
        bail!("the guest took no more than {count} of {}", arguments.count);
    }
    Ok(ExitCode::SUCCESS)
}
