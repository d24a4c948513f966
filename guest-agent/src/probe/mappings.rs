// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The BARs of a device that goes while they are mapped: by this process, by
//! one that inherited the mappings, by one that is made afterwards.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::MetadataExt,
};

use anyhow::{Context, Result};
use irqbed_abi::{
    pci::{DOORBELL_BAR_SIZE, INSTRUMENT_BAR_SIZE},
    queue::{IOC_LISTEN, ListenRequest, NO_EVENTFD, QUEUE_MMAP_OFFSET, QUEUE_PAGE},
    reply::{DOORBELL_MMAP_OFFSET, ReplyRequest},
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use zerocopy::IntoBytes;

use super::{
    memory::{self, Memory},
    outcome::{name, outcome},
};
use crate::instrument::DEVICE;

/// A second node of the device, as anybody may make one.
const NODE: &str = "/tmp/irqbed-again";
const UIO: &str = "/dev/uio0";
const DRIVER: &str = "/sys/bus/pci/drivers/irqbed";
const PAGE: usize = QUEUE_PAGE as usize;
/// Where `stopped` is in the header of a queue.
const STOPPED: usize = 20;

fn open(path: &str, write: bool) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(write)
        .open(path)
        .with_context(|| format!("cannot open {path}"))
}

/// Every way to map a BAR.
fn map(device: &File) -> Result<Vec<(&'static str, Memory)>> {
    let again = fs::metadata(DEVICE)?.rdev();
    mknodat(
        CWD,
        NODE,
        FileType::CharacterDevice,
        Mode::RUSR | Mode::WUSR,
        again,
    )?;
    let both = libc::PROT_READ | libc::PROT_WRITE;
    let shared = |file: &File, offset, len: u64, access| {
        memory::map(
            file,
            offset,
            usize::try_from(len)?,
            access,
            libc::MAP_SHARED,
        )
        .context("a mapping is refused")
    };
    let instrument = INSTRUMENT_BAR_SIZE;
    let mut maps = vec![
        ("instrument", shared(device, 0, instrument, both)?),
        (
            "its last page, to be read",
            shared(
                &open(DEVICE, false)?,
                instrument - 4096,
                4096,
                libc::PROT_READ,
            )?,
        ),
        (
            "by another node",
            shared(&open(NODE, true)?, 0, instrument, both)?,
        ),
        (
            "doorbell",
            shared(device, DOORBELL_MMAP_OFFSET, DOORBELL_BAR_SIZE, both)?,
        ),
    ];
    if fs::exists(UIO)? {
        maps.push(("by UIO", shared(&open(UIO, true)?, 0, instrument, both)?));
    }
    Ok(maps)
}

/// Touches each mapping in a process of its own, and says what that costs it.
fn touch(who: &str, maps: &[(&str, Memory)]) {
    for (what, memory) in maps {
        let ended = memory::in_a_child(|| {
            memory.read();
        });
        match ended {
            Ok(0) => println!("{who}, {what}: read"),
            Ok(libc::SIGBUS) => println!("{who}, {what}: SIGBUS"),
            Ok(signal) => println!("{who}, {what}: signal {signal}"),
            Err(error) => println!("{who}, {what}: {error}"),
        }
    }
}

fn unbind() -> Result<()> {
    let bound = fs::read_dir(DRIVER)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| name.starts_with("0000:"))
        .context("the driver has no device")?;
    fs::write(format!("{DRIVER}/unbind"), bound).context("the driver keeps its device")
}

pub fn main() -> Result<()> {
    let device = open(DEVICE, true)?;
    let maps = map(&device)?;
    let mut listen = ListenRequest {
        vectors: u32::MAX,
        size: 0,
        eventfd: NO_EVENTFD,
        reserved: 0,
    };
    let listens = memory::ioctl(&device, IOC_LISTEN, &mut listen);
    println!("listen: {}", outcome(listens));
    let map_queue = || {
        memory::map(
            &device,
            QUEUE_MMAP_OFFSET,
            PAGE,
            libc::PROT_READ,
            libc::MAP_SHARED,
        )
    };
    let queue = map_queue();

    // All of it is in our page tables, and so in those of who inherits them.
    for (_, memory) in &maps {
        memory.read();
    }
    touch("before", &maps);
    let (pid, told) = memory::fork_held(|| touch("inherited", &maps))?;
    unbind()?;
    drop(told);
    memory::wait(pid);
    touch("own", &maps);

    // What is left of the device's file.
    if let Ok(queue) = queue {
        println!("queue: stopped {}", queue.read_at(STOPPED));
    }
    let again = memory::map(&device, 0, PAGE, libc::PROT_READ, libc::MAP_SHARED);
    println!("map: {}", outcome(again));
    let listens = memory::ioctl(&device, IOC_LISTEN, &mut listen);
    println!("listen: {}", outcome(listens));
    let reply = ReplyRequest {
        seq: 1,
        slot: 0,
        reserved: 0,
    };
    match (&device).write(reply.as_bytes()) {
        Ok(count) => println!("reply: {count} bytes"),
        Err(error) => println!("reply: {}", name(&error)),
    }
    fs::remove_file(NODE)?;
    Ok(())
}
