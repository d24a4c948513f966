// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest's console: the lines that a person reads.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
};

/// The console, to be written.
pub fn console() -> io::Result<File> {
    OpenOptions::new().write(true).open("/dev/console")
}

/// Writes a line on the console in one piece, or where standard error goes.
pub fn print_line(line: &str) {
    let line = format!("{line}\n");
    // Nothing is left to do where even this fails.
    let _ = io::stderr().write_all(line.as_bytes());
}
