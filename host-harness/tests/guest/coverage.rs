// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Brings out of a guest what its programs and the driver have counted, where
//! `images/coverage.sh` has built them with counters.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use irqbed_machine::session::Session;

/// Has the programs of the guest keep their counters in a file.
pub const PARAMETER: &str = "LLVM_PROFILE_FILE=/counters%c%1m.profraw";
/// Puts all that was counted into one archive. Files of debugfs have no size until
/// they are read.
const GATHER: &str = "mkdir -p /tmp/counted
    mount -t debugfs none /sys/kernel/debug 2>/dev/null
    find /sys/kernel/debug/gcov -name '*.gcda' | while read file
        do cat $file >/tmp/counted/${file##*/}; done
    cp /counters*.profraw /tmp/counted 2>/dev/null
    cd /tmp/counted && tar -cz . >/tmp/counted.tgz && stat -c %s /tmp/counted.tgz";
/// Bytes that come over the agent's line at a time.
const PIECE: usize = 150_000;

/// Where it goes.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os("IRQBED_COVERAGE").map(PathBuf::from)
}

/// A number for each guest of this process.
pub fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Brings it out; a later call for the same guest replaces what it wrote.
pub fn gather(session: &mut Session, number: u32) {
    let Some(folder) = folder() else { return };
    let folder = folder.join(format!("guest-{}-{number}", std::process::id()));
    let run = |session: &mut Session, script: &str| {
        let (status, output, error) = session.run(&["sh", "-c", script]).expect("a shell runs");
        assert_eq!((status, error.as_str()), (0, ""), "{script}");
        output
    };
    let size: usize = run(session, GATHER).trim().parse().expect("a size");
    let mut archive = Vec::new();
    while archive.len() < size {
        let from = archive.len() + 1;
        let script = format!("tail -c +{from} /tmp/counted.tgz | head -c {PIECE} | base64 -w 0");
        let piece = BASE64_STANDARD.decode(run(session, &script).trim());
        archive.extend(piece.expect("base64"));
    }
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("counted.tgz");
    fs::write(&file, archive).expect("the archive");
    let unpacked = std::process::Command::new("tar")
        .args(["-xzf", "counted.tgz"])
        .current_dir(&folder)
        .status();
    assert!(unpacked.expect("tar runs").success());
    fs::remove_file(file).expect("it is there");
}
