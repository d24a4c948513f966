// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long an access to a register or to mapped memory takes, from a process:
//! through the file that sysfs has for each BAR, so that no driver is in the way,
//! and none may have the device.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    str::FromStr,
    sync::atomic::Ordering,
};

use anyhow::{Context, Result, bail};

use crate::memory::{PAGE, Page, now};

/// A word of 32 bits.
#[derive(Debug)]
pub struct Place {
    page: Page,
    offset: usize,
}

/// What is done to it.
#[derive(Debug, Clone, Copy)]
pub enum How {
    Read,
    Write,
}

impl FromStr for How {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            _ => bail!("{word:?} is not read or write"),
        }
    }
}

impl Place {
    /// A word at an offset in the first page of a BAR of the device with these
    /// identifiers, or in plain memory.
    pub fn new(device: &str, bar: u64, offset: u64) -> Result<Self> {
        let offset = usize::try_from(offset)?;
        if offset > PAGE - 4 || !offset.is_multiple_of(4) {
            bail!("{offset} is not the offset of a word in a page");
        }
        let page = match device {
            "ram" => Page::plain()?,
            device => Page::of(resource(device, bar)?, 0)
                .with_context(|| format!("cannot map BAR {bar} of {device}: has a driver it?"))?,
        };
        Ok(Self { page, offset })
    }
}

/// The file of a BAR, its device enabled.
fn resource(device: &str, bar: u64) -> Result<File> {
    let (vendor, id) = device
        .split_once(':')
        .with_context(|| format!("{device:?} is not VENDOR:DEVICE"))?;
    let folder = find(vendor, id)?.with_context(|| format!("there is no device {device}"))?;
    fs::write(folder.join("enable"), "1").with_context(|| format!("cannot enable {device}"))?;
    let path = folder.join(format!("resource{bar}"));
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))
}

fn find(vendor: &str, id: &str) -> Result<Option<PathBuf>> {
    let is = |path: &Path, file: &str, wanted: &str| {
        fs::read_to_string(path.join(file))
            .is_ok_and(|found| found.trim().trim_start_matches("0x") == wanted)
    };
    for entry in fs::read_dir("/sys/bus/pci/devices").context("the guest has no PCI")? {
        let path = entry?.path();
        if is(&path, "vendor", vendor) && is(&path, "device", id) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Prints the cycles of each batch of accesses, which come one after the other.
pub fn run(place: &Place, how: How, batches: u64, accesses: u64) -> Result<()> {
    let word = place.page.word32(place.offset);
    let batch = || match how {
        How::Read => (0..accesses).for_each(|_| {
            word.load(Ordering::SeqCst);
        }),
        How::Write => (0..accesses).for_each(|n| word.store(n as u32, Ordering::Release)),
    };
    // The page is in place, and the code translated.
    batch();
    for _ in 0..batches {
        let began = now();
        batch();
        println!("{}", now() - began);
    }
    Ok(())
}
