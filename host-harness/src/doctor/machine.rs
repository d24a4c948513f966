// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The host: processors, clock, memory, disk, and what the user has set.

use std::{env, path::Path};

use irqbed_archive::mirror::{self, Kind};
use irqbed_machine::{artefacts::Artefacts, host};
use rustix::process::{Resource, getrlimit};

use super::{Finding, Mark};

const MIB: u64 = 1 << 20;
/// Guest, device model and QEMU.
const MEMORY_WANTED: u64 = 600 * MIB;
/// What is fetched and built, and room to replace it.
const DISK_WANTED: u64 = 2_048 * MIB;

pub(super) fn examine(artefacts: &Artefacts) -> Vec<Finding> {
    let cpuinfo = host::read("/proc/cpuinfo");
    let meminfo = host::read("/proc/meminfo");
    let complete = artefacts.check().is_ok();
    let mut findings = vec![
        cores(host::cores()),
        time_stamp_counter(host::cpu_field(&cpuinfo, "flags").unwrap_or_default()),
        memory(host::memory_kib(&meminfo, "MemAvailable")),
        memory_lock(getrlimit(Resource::Memlock).current),
    ];
    findings.extend(disk(&artefacts.folder, complete));
    findings.extend(mirror(complete));
    findings.extend(
        ["IRQBED_QEMU", "IRQBED_KERNEL", "IRQBED_KDIR"]
            .into_iter()
            .filter_map(own),
    );
    findings
}

fn cores(cores: u32) -> Finding {
    match cores {
        1 => Finding::note(
            "cores",
            "1: guest and harness take turns, which wall times include",
            "measure with --clock instructions, or on 2 cores",
        ),
        cores => Finding::ok("cores", cores.to_string()),
    }
}

/// The wall clock compares readings of different processors and moments.
fn time_stamp_counter(flags: &str) -> Finding {
    let has = |flag| flags.split_ascii_whitespace().any(|found| found == flag);
    let lacking: Vec<&str> = ["constant_tsc", "nonstop_tsc"]
        .into_iter()
        .filter(|&flag| !has(flag))
        .collect();
    if lacking.is_empty() {
        return Finding::ok(
            "TSC",
            "constant and never stops, as the wall clock needs it",
        );
    }
    Finding::note(
        "TSC",
        format!(
            "the processor lacks {}: wall times may drift",
            lacking.join(" and ")
        ),
        "heed the drift of each result, or measure with --clock instructions",
    )
}

fn memory(available_kib: Option<u64>) -> Finding {
    let Some(available) = available_kib.map(|kib| kib.saturating_mul(1024)) else {
        return Finding::note(
            "memory",
            "cannot be told",
            "make sure that 600 MiB are free",
        );
    };
    let found = format!("{} MiB available", available / MIB);
    if available >= MEMORY_WANTED {
        return Finding::ok("memory", found);
    }
    Finding::note(
        "memory",
        found,
        format!("a guest takes {} MiB: make room", MEMORY_WANTED / MIB),
    )
}

fn memory_lock(limit: Option<u64>) -> Finding {
    let found = match limit {
        None => "unlimited".to_owned(),
        Some(bytes) => format!("{} KiB", bytes / 1024),
    };
    Finding::ok(
        "memory lock",
        format!("{found}; guest memory is shared, not locked"),
    )
}

fn disk(folder: &Path, complete: bool) -> Option<Finding> {
    // The folder itself may be yet to come.
    let there = folder
        .ancestors()
        .find(|folder| folder.is_dir())
        .unwrap_or(Path::new("."));
    let state = rustix::fs::statvfs(there).ok()?;
    Some(room(
        state.f_bavail.saturating_mul(state.f_frsize),
        complete,
    ))
}

fn room(free: u64, complete: bool) -> Finding {
    let found = format!("{} MiB free for .irqbed", free / MIB);
    if complete || free >= DISK_WANTED {
        return Finding::ok("disk", found);
    }
    Finding::note(
        "disk",
        found,
        format!("the setup may take {} MiB: make room", DISK_WANTED / MIB),
    )
}

/// Where the setup fetches from; of no interest once it has.
fn mirror(complete: bool) -> Option<Finding> {
    const WHAT: &str = "mirror";
    if complete {
        return None;
    }
    Some(match mirror::of(Kind::Main) {
        Ok(mirror) => Finding::ok(WHAT, mirror.url),
        // It says itself what to do.
        Err(error) => Finding {
            mark: Mark::Note,
            what: WHAT,
            found: error.to_string(),
            remedy: None,
        },
    })
}

/// What the user has put in place of ours.
fn own(variable: &'static str) -> Option<Finding> {
    let value = env::var_os(variable)?;
    Some(Finding::note(
        variable,
        format!(
            "{} is used in place of irqbed's own",
            Path::new(&value).display()
        ),
        format!("unset {variable} for irqbed's own"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_core_is_worth_a_note() {
        assert_eq!(cores(1).mark, Mark::Note);
        assert_eq!(cores(2), Finding::ok("cores", "2"));
    }

    #[test]
    fn a_counter_that_may_stop_is_named() {
        assert_eq!(
            time_stamp_counter("fpu constant_tsc nonstop_tsc").mark,
            Mark::Ok
        );
        let finding = time_stamp_counter("fpu constant_tsc nonstop_tsc_s3");
        assert!(finding.found.contains("lacks nonstop_tsc:"), "{finding:?}");
        assert!(
            time_stamp_counter("")
                .found
                .contains("constant_tsc and nonstop_tsc")
        );
    }

    #[test]
    fn little_memory_is_worth_a_note() {
        assert_eq!(memory(Some(100 * 1024)).mark, Mark::Note);
        assert_eq!(
            memory(Some(4 << 20)),
            Finding::ok("memory", "4096 MiB available")
        );
        assert_eq!(memory(None).mark, Mark::Note);
    }

    #[test]
    fn room_on_the_disk_matters_until_the_setup_is_through() {
        assert_eq!(room(100 * MIB, false).mark, Mark::Note);
        assert_eq!(room(100 * MIB, true).mark, Mark::Ok);
        assert_eq!(room(4_096 * MIB, false).mark, Mark::Ok);
    }
}
