// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tries the entrances of the driver as a process may that means no good, and
//! says on standard output what the driver answers, one line for each. A test
//! of the harness runs it and knows what is right.

mod calls;
mod flush;
mod mappings;
mod memory;
mod outcome;

use anyhow::{Result, bail};

/// First argument of such a process.
pub const ROLE: &str = "probe";

/// Tries the entrances of one kind.
pub fn main(kind: Option<&str>) -> Result<()> {
    match kind {
        Some("calls") => calls::main(),
        Some("flush") => flush::main(),
        Some("mappings") => mappings::main(),
        _ => bail!("probe calls, flush or mappings"),
    }
}
