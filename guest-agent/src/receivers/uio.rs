// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events by blocking `read` of a UIO device, which gives the number
//! of notifications so far, and then from the mapped queue.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use irqbed_abi::{
    control::{ListenerSpec, Mechanism},
    queue::{QUEUE_PAGE, UIO_QUEUE_MAP, UIO_TAIL_MAP},
};
use rustix::io::{Errno, read, retry_on_intr, write};

use super::{
    queue::{Header, Ring, ring_size},
    receiver::{Kind, Receiver, until_last},
};

/// A UIO device, and the queue.
pub const UIO: Kind = Kind {
    mechanism: Mechanism::Uio,
    open: |spec, _| open(spec),
};

/// Where the kernel lists UIO devices.
const DEVICES: &str = "/sys/class/uio";
/// The name that the driver gives to that of its first device.
const NAME: &str = "irqbed0";
/// What is written to the device for no more events.
const STOP: [u8; 4] = 0_u32.to_ne_bytes();

fn open(spec: &ListenerSpec) -> Result<Receiver> {
    let path = find(Path::new(DEVICES))?
        .context("there is no UIO device of the driver: load it with notifier=uio")?;
    // Notifications before it was opened, and those that it was told of.
    let mut counted = fs::read_to_string(path.join("event"))
        .context("cannot read the device's counter")?
        .trim()
        .parse::<u32>()
        .context("the device's counter is no number")?;
    let node = Path::new("/dev").join(path.file_name().unwrap_or_default());
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&node)
        .with_context(|| format!("cannot open {} (one process at a time may)", node.display()))?;
    let size = ring_size(spec);
    write(&device, &size.to_ne_bytes())
        .with_context(|| format!("the driver gives no queue of {size} bytes"))?;
    // UIO takes the number of a map for a page.
    let offset = |map: u32| u64::from(map * QUEUE_PAGE);
    let cannot_map = || format!("cannot map the queue of {}", node.display());
    let mut ring = Ring::map(&device, offset(UIO_QUEUE_MAP), offset(UIO_TAIL_MAP), size)
        .with_context(cannot_map)?;
    let header = Header::map(&device, offset(UIO_QUEUE_MAP)).with_context(cannot_map)?;
    let stopped = device.try_clone()?;
    Ok(Receiver {
        port_id: 0,
        stop: Box::new(move || {
            // A device that is gone gives no more events either.
            let _ = write(&stopped, &STOP);
        }),
        drops: Box::new(move || Some(header.dropped())),
        // A count may stand for several events, and for none where the one
        // before was read late: the queue says.
        run: Box::new(move |sink| {
            until_last(sink, |sink| {
                let mut count = [0; 4];
                match retry_on_intr(|| read(&device, &mut count)) {
                    Ok(_) => {}
                    // The driver let go of the device, and stopped the queue
                    // before.
                    Err(Errno::IO) if ring.stopped() => count = counted.to_ne_bytes(),
                    Err(error) => return Err(error).context("cannot read the UIO device"),
                }
                let last = ring.stopped();
                ring.drain(sink);
                let count = u32::from_ne_bytes(count);
                sink.count_coalesced(u64::from(count.wrapping_sub(counted).saturating_sub(1)));
                counted = count;
                Ok(last)
            })
        }),
    })
}

/// The entry of the driver's device, if there is one.
fn find(devices: &Path) -> io::Result<Option<PathBuf>> {
    let entries = match fs::read_dir(devices) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if fs::read_to_string(path.join("name"))?.trim_end() == NAME {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
