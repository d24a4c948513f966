// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Measures from inside of the guest what the benches compare: how long an
//! interrupt of a device of QEMU takes to reach a process. The host starts it; what
//! it measures is printed in cycles of the guest's time stamp counter, a line for
//! each.

mod memory;
mod peer;
mod ticks;

use std::{env, process::ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: irqbed-bench-guest COMMAND
    listen eventfd|read
    edu raise|factorial COUNT INTERVAL_US";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match run(&words.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("irqbed-bench-guest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match *words {
        ["listen", how] => peer::listen(how.parse()?),
        ["edu", how, count, interval] => peer::edu(how.parse()?, number(count)?, number(interval)?),
        _ => bail!("{USAGE}"),
    }
}

fn number(word: &str) -> Result<u64> {
    word.parse()
        .with_context(|| format!("{word:?} is not a number"))
}
