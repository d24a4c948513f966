// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed`: parses the command line and calls the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    host_harness::cli::main()
}
