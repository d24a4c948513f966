// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events by blocking `read` of a UIO device, which gives the number
//! of notifications so far, and then from the mapped queue.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use irqbed_abi::{
    control::{ListenerSpec, Mechanism},
    queue::{QUEUE_PAGE, UIO_QUEUE_MAP, UIO_TAIL_MAP},
};
use rustix::io::{Errno, read, write};

use super::receiver::{Kind, Receiver};
use crate::{
    events::Sink,
    queue::{Ring, ring_size},
};

/// A UIO device, and the queue.
pub const UIO: Kind = Kind {
    mechanism: Mechanism::Uio,
    open: |spec, _| Ok(Box::new(Uio::open(spec)?)),
};

/// Where the kernel lists UIO devices.
const DEVICES: &str = "/sys/class/uio";
/// The name that the driver gives to that of its first device.
const NAME: &str = "irqbed0";
/// What is written to the device for no more events.
const STOP: [u8; 4] = 0_u32.to_ne_bytes();

struct Uio {
    device: File,
    ring: Ring,
    /// Notifications before it was opened, and those that it was told of.
    count: u32,
}

impl Uio {
    fn open(spec: &ListenerSpec) -> Result<Self> {
        let path = find(Path::new(DEVICES))?
            .context("there is no UIO device of the driver: load it with notifier=uio")?;
        let count = fs::read_to_string(path.join("event"))
            .context("cannot read the device's counter")?
            .trim()
            .parse::<u32>()
            .context("the device's counter is no number")?;
        let node = Path::new("/dev").join(path.file_name().unwrap_or_default());
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&node)
            .with_context(|| {
                format!("cannot open {} (one process at a time may)", node.display())
            })?;
        let size = ring_size(spec);
        write(&device, &size.to_ne_bytes())
            .with_context(|| format!("the driver gives no queue of {size} bytes"))?;
        // UIO takes the number of a map for a page.
        let offset = |map: u32| u64::from(map * QUEUE_PAGE);
        let ring = Ring::map(&device, offset(UIO_QUEUE_MAP), offset(UIO_TAIL_MAP), size)
            .with_context(|| format!("cannot map the queue of {}", node.display()))?;
        Ok(Self {
            device,
            ring,
            count,
        })
    }
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

impl Receiver for Uio {
    fn drops(&self) -> Option<u64> {
        Some(self.ring.dropped())
    }

    fn quit(&self) -> Result<Box<dyn Fn() + Send + Sync>> {
        let device = self.device.try_clone()?;
        Ok(Box::new(move || {
            // A device that is gone gives no more events either.
            let _ = write(&device, &STOP);
        }))
    }

    /// A count may stand for several events, and for none where the one before
    /// was read late: the queue says.
    fn run(&mut self, sink: &mut Sink) -> Result<()> {
        let mut bytes = [0; 4];
        loop {
            match read(&self.device, &mut bytes) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                // The driver let go of the device, and stopped the queue before.
                Err(Errno::IO) if self.ring.stopped() => {}
                Err(error) => return Err(error).context("cannot read the UIO device"),
            }
            let last = self.ring.stopped();
            while self.ring.take(sink) {}
            let count = u32::from_ne_bytes(bytes);
            sink.coalesced(u64::from(count.wrapping_sub(self.count).saturating_sub(1)));
            self.count = count;
            if last {
                sink.woken_at_last();
                return Ok(());
            }
            sink.woken();
        }
    }
}
