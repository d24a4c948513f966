// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Calls on an open file of the device, with arguments that no listener would
//! give.

use std::{
    fs::{File, OpenOptions},
    io::Read,
    sync::atomic::Ordering,
};

use anyhow::Result;
use irqbed_abi::{
    pci::INSTRUMENT_BAR_SIZE,
    queue::{
        IOC_LISTEN, IOC_STOP, IOC_WAIT, ListenRequest, MIN_QUEUE, NO_EVENTFD, QUEUE_MMAP_OFFSET,
        QUEUE_PAGE, WaitRequest,
    },
    reply::{DOORBELL_MMAP_OFFSET, IOC_REPLY, ReplyRequest},
};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::{
    memory,
    outcome::{name, outcome},
};
use crate::{instrument::DEVICE, mapping::Mapping};

const PAGE: u64 = QUEUE_PAGE as u64;
const READ: libc::c_int = libc::PROT_READ;
const BOTH: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;
const SHARED: libc::c_int = libc::MAP_SHARED;

fn open(write: bool) -> Result<File> {
    Ok(OpenOptions::new().read(true).write(write).open(DEVICE)?)
}

/// A queue of the smallest size.
fn request() -> ListenRequest {
    ListenRequest {
        vectors: 1,
        size: MIN_QUEUE,
        eventfd: NO_EVENTFD,
        reserved: 0,
    }
}

fn listen(file: &File, mut request: ListenRequest) -> String {
    outcome(memory::ioctl(file, IOC_LISTEN, &mut request))
}

fn requests(file: &File) {
    let bad = [
        (
            "no vector",
            ListenRequest {
                vectors: 0,
                ..request()
            },
        ),
        (
            "an odd size",
            ListenRequest {
                size: MIN_QUEUE + 1,
                ..request()
            },
        ),
        (
            "half a ring",
            ListenRequest {
                size: MIN_QUEUE / 2,
                ..request()
            },
        ),
        (
            "2 GiB",
            ListenRequest {
                size: 1 << 31,
                ..request()
            },
        ),
        (
            "an eventfd",
            ListenRequest {
                eventfd: 0,
                ..request()
            },
        ),
        (
            "a reserved field",
            ListenRequest {
                reserved: 1,
                ..request()
            },
        ),
    ];
    for (what, request) in bad {
        println!("listen, {what}: {}", listen(file, request));
    }
    println!(
        "another command: {}",
        outcome(memory::ioctl(file, 0xb505, &mut 0))
    );
    println!(
        "stop before: {}",
        outcome(memory::ioctl(file, IOC_STOP, &mut 0))
    );
}

fn without_a_queue(mut file: &File) -> Result<()> {
    println!("read before: {}", outcome(file.read(&mut [0; 64])));
    let flags = fcntl_getfl(file)?;
    let asked = fcntl_setfl(file, flags | OFlags::from_bits_retain(libc::O_ASYNC as u32));
    println!("O_ASYNC before: {}", outcome(asked.map_err(Into::into)));
    let queue = memory::map(file, QUEUE_MMAP_OFFSET, 4096, READ, SHARED);
    println!("map before: {}", outcome(queue));
    Ok(())
}

fn maps(file: &File) -> Result<()> {
    let pages = 2 * PAGE + u64::from(MIN_QUEUE);
    let private = libc::MAP_PRIVATE;
    let queue = QUEUE_MMAP_OFFSET;
    let bell = DOORBELL_MMAP_OFFSET;
    for (what, offset, len, access, flags) in [
        ("a private copy", 0, PAGE, READ, private),
        (
            "more than the BAR",
            0,
            INSTRUMENT_BAR_SIZE + PAGE,
            READ,
            SHARED,
        ),
        ("behind the BAR", INSTRUMENT_BAR_SIZE, PAGE, READ, SHARED),
        (
            "beyond its end",
            INSTRUMENT_BAR_SIZE - PAGE,
            2 * PAGE,
            READ,
            SHARED,
        ),
        ("a page of the BAR", 8 * PAGE, PAGE, BOTH, SHARED),
        ("before the queue", queue - PAGE, 2 * PAGE, READ, SHARED),
        ("more than the queue", queue, pages + PAGE, READ, SHARED),
        ("behind the queue", queue + pages, PAGE, READ, SHARED),
        ("far behind the queue", bell - PAGE, PAGE, READ, SHARED),
        ("its header, to be written", queue, PAGE, BOTH, SHARED),
        (
            "tail and ring, to be written",
            queue + PAGE,
            2 * PAGE,
            BOTH,
            SHARED,
        ),
        (
            "its ring, to be written",
            queue + 2 * PAGE,
            PAGE,
            BOTH,
            SHARED,
        ),
        ("a private queue", queue, PAGE, READ, private),
        ("all of the queue", queue, pages, READ, SHARED),
        ("its tail", queue + PAGE, PAGE, BOTH, SHARED),
        ("two doorbells", bell, 2 * PAGE, BOTH, SHARED),
        ("behind the doorbell", bell + PAGE, PAGE, BOTH, SHARED),
        (
            "the far end",
            i64::MAX as u64 + 1 - PAGE,
            PAGE,
            READ,
            SHARED,
        ),
    ] {
        let mapped = memory::map(file, offset, usize::try_from(len)?, access, flags);
        println!("map, {what}: {}", outcome(mapped));
    }
    let ring = memory::map(file, queue, 4096, READ, SHARED)?;
    println!("mprotect: {}", outcome(ring.protect(BOTH)));
    Ok(())
}

fn reads(mut file: &File) -> Result<()> {
    fcntl_setfl(file, OFlags::NONBLOCK)?;
    println!("read, a short buffer: {}", outcome(file.read(&mut [0; 8])));
    println!("read, nothing there: {}", outcome(file.read(&mut [0; 64])));
    let mut wait = WaitRequest {
        buffer: 0,
        len: u32::MAX,
        received: 0,
    };
    println!(
        "wait, no buffer: {}",
        outcome(memory::ioctl(file, IOC_WAIT, &mut wait))
    );

    // A tail of our own, which makes no sense.
    let tail = Mapping::at(file, QUEUE_MMAP_OFFSET + PAGE, 4096)?;
    let tail = tail.word64(0).expect("the first word");
    for (what, value) in [
        ("ahead", 64),
        ("odd", u64::MAX - 6),
        ("behind", u64::MAX - 8199),
    ] {
        tail.store(value, Ordering::Relaxed);
        println!("read, a tail {what}: {}", outcome(file.read(&mut [0; 64])));
    }
    tail.store(0, Ordering::Relaxed);
    println!("read, the right tail: {}", outcome(file.read(&mut [0; 64])));
    Ok(())
}

pub fn main() -> Result<()> {
    let file = open(true)?;
    requests(&file);
    without_a_queue(&file)?;
    println!("listen: {}", listen(&file, request()));
    println!("listen again: {}", listen(&file, request()));
    maps(&file)?;
    reads(&file)?;

    let mut reply = ReplyRequest::default();
    let replied = memory::ioctl(&open(false)?, IOC_REPLY, &mut reply);
    println!("reply, open to read: {}", outcome(replied));

    // The file of a queue lives as long as anybody has it.
    let (pid, told) = memory::fork_held(|| {
        let stopped = memory::ioctl(&file, IOC_STOP, &mut 0);
        let end = (&file).read(&mut [0; 64]);
        println!(
            "inherited: stop {}, then {} bytes",
            outcome(stopped),
            end.map_or_else(|error| name(&error), |count| count.to_string())
        );
    })?;
    drop(file);
    drop(told);
    memory::wait(pid);
    Ok(())
}
