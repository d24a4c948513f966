// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `/proc/PID/stat`: `pid (name) state ppid ...` (proc_pid_stat(5)).

/// The fields behind the name, which may hold anything: the state of the process is the
/// first, its parent the second. `None` where the name has no end.
pub fn behind_name(stat: &str) -> Option<impl Iterator<Item = &str>> {
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_ascii_whitespace())
}
