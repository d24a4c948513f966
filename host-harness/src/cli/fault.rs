// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed fault`: has something go wrong with the device of a running guest.

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;
use clap::{ArgGroup, Args};
use device_model::{
    control::{Reply, Request},
    fault::Fault,
};

use super::control::connect;
use crate::faults::{about, table};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["fault", "list", "clear", "kinds"])))]
pub(super) struct Arguments {
    /// Faults to arm, as `irq-lost:chance=0.1`: all of them or none
    #[arg(value_name = "KIND:KEY=VALUE,...")]
    fault: Vec<Fault>,
    /// Show the faults that are armed, and how often each happened
    #[arg(long)]
    list: bool,
    /// End all faults, and show how often each happened
    #[arg(long)]
    clear: bool,
    /// Show all kinds of faults, and the keys of each
    #[arg(long, conflicts_with = "control")]
    kinds: bool,
    /// Socket of the running guest, where it was given another one
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.kinds {
        super::print(&about())?;
        return Ok(ExitCode::SUCCESS);
    }
    let request = if arguments.list {
        Request::Faults
    } else if arguments.clear {
        Request::ClearFaults
    } else {
        Request::Arm {
            faults: arguments.fault.clone(),
        }
    };
    let mut client = connect(arguments.control.as_deref())?;
    let text = match client.ask(&request)? {
        Reply::Armed { ids } => {
            let armed = ids.iter().zip(&arguments.fault);
            armed
                .map(|(id, fault)| format!("armed fault {id}: {fault}\n"))
                .collect()
        }
        Reply::Faults { faults } => table(&faults),
        Reply::Failed { error } => bail!(error),
        other => bail!("the device answered something else: {other:?}"),
    };
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
