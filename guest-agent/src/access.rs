// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long an access to a register or to mapped memory takes, from a process:
//! through the file that sysfs has for each BAR, so that no driver is in the
//! way, and none may have the device; through its ports, where it has such.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    sync::atomic::Ordering::{Release, SeqCst},
};

use anyhow::{Context, Result, bail, ensure};
use irqbed_abi::control::Accesses;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use crate::{io_ports::Port, mapping::Mapping, tsc::now};

const DEVICES: &str = "/sys/bus/pci/devices";
/// Length of what is mapped, bytes.
const PAGE: u64 = 4096;
/// `IORESOURCE_IO` (linux/ioport.h).
const PORTS: u64 = 0x100;
/// Most batches of a request: their cycles are one line of the answer.
const MAX_BATCHES: u64 = 1 << 17;

/// Where a word lies.
enum Place {
    Memory(Mapping, usize),
    Ports(Port),
}

/// The cycles of each batch of accesses, which come one after the other.
pub fn time(asked: &Accesses) -> Result<Vec<u64>> {
    let width = u64::from(asked.width);
    ensure!(
        matches!(width, 1 | 2 | 4 | 8) && asked.offset.is_multiple_of(width),
        "no word of {width} bytes lies at {:#x}",
        asked.offset
    );
    ensure!(asked.batches <= MAX_BATCHES, "too many batches");
    let place = match &*asked.device {
        "ram" => Place::Memory(plain()?, usize::try_from(asked.offset)?),
        device => Place::of(&find(device)?, asked)?,
    };
    // The width of the access is that of its type.
    macro_rules! memory {
        ($word:expr) => {{
            let word = $word.context("outside")?;
            either(
                asked,
                || {
                    let _ = word.load(SeqCst);
                },
                |value| word.store(value as _, Release),
            )
        }};
    }
    macro_rules! port {
        ($read:expr, $write:expr) => {
            either(
                asked,
                || {
                    let _ = $read;
                },
                $write,
            )
        };
    }
    match (&place, asked.width) {
        (Place::Memory(page, at), 1) => memory!(page.byte(*at)),
        (Place::Memory(page, at), 2) => memory!(page.word16(*at)),
        (Place::Memory(page, at), 4) => memory!(page.word32(*at)),
        (Place::Memory(page, at), _) => memory!(page.word64(*at)),
        (Place::Ports(port), 1) => port!(port.read8(), |value| port.write8(value as u8)),
        (Place::Ports(port), 2) => port!(port.read16(), |value| port.write16(value as u16)),
        (Place::Ports(port), 4) => port!(port.read32(), |value| port.write32(value as u32)),
        (Place::Ports(_), width) => bail!("a port has no {width} bytes"),
    }
}

/// Reads or writes.
#[inline(always)]
fn either(asked: &Accesses, read: impl Fn(), write: impl Fn(u64)) -> Result<Vec<u64>> {
    Ok(match asked.write {
        None => batches(asked, read),
        Some(value) => batches(asked, || write(value)),
    })
}

fn batches(asked: &Accesses, access: impl Fn()) -> Vec<u64> {
    let batch = || (0..asked.accesses).for_each(|_| access());
    // The page is in place, and the code translated.
    batch();
    let timed = |_| {
        let began = now();
        batch();
        now().0.wrapping_sub(began.0)
    };
    (0..asked.batches).map(timed).collect()
}

impl Place {
    /// A word of a BAR, its device enabled.
    fn of(folder: &Path, asked: &Accesses) -> Result<Self> {
        let (bar, offset) = (asked.bar, asked.offset);
        let (start, size, flags) = resource(folder, bar)?;
        let end = offset.checked_add(asked.width.into());
        ensure!(
            end.is_some_and(|end| end <= size),
            "BAR {bar} of {} has {size} bytes, and none at {offset:#x}",
            asked.device
        );
        fs::write(folder.join("enable"), "1")
            .with_context(|| format!("cannot enable {}", asked.device))?;
        if flags & PORTS != 0 {
            enable_ports(folder)?;
            let port = u16::try_from(start + offset)?;
            let port = Port::open(port, asked.width).context("the kernel keeps its ports")?;
            return Ok(Self::Ports(port));
        }
        let path = folder.join(format!("resource{bar}"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let page = offset / PAGE * PAGE;
        let mapping = Mapping::at(&file, page, PAGE as usize).with_context(|| {
            format!("cannot map BAR {bar} of {}: has a driver it?", asked.device)
        })?;
        Ok(Self::Memory(mapping, usize::try_from(offset - page)?))
    }
}

/// A page of plain memory.
fn plain() -> Result<Mapping> {
    let file = memfd_create("plain", MemfdFlags::CLOEXEC)?;
    ftruncate(&file, PAGE)?;
    Ok(Mapping::shared(&file, PAGE as usize)?)
}

/// Start, size and flags of a BAR.
fn resource(folder: &Path, bar: u32) -> Result<(u64, u64, u64)> {
    let text = fs::read_to_string(folder.join("resource")).context("the device is gone")?;
    let line = text.lines().nth(bar as usize).unwrap_or_default();
    let number = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    let numbers: Vec<u64> = line.split_whitespace().filter_map(number).collect();
    match numbers[..] {
        [start, end, flags] if bar < 6 && end > start => Ok((start, end - start + 1, flags)),
        _ => bail!("there is no BAR {bar}"),
    }
}

/// The kernel enables ports for a driver alone: bit 0 of the command register.
fn enable_ports(folder: &Path) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let path = folder.join("config");
    let config = OpenOptions::new().read(true).write(true).open(path)?;
    let mut command = [0; 2];
    config.read_exact_at(&mut command, 4)?;
    if command[0] & 1 == 0 {
        command[0] |= 1;
        config.write_all_at(&command, 4)?;
    }
    Ok(())
}

/// The folder of a device, by its place on the bus or by its identifiers.
fn find(device: &str) -> Result<PathBuf> {
    let by_place = Path::new(DEVICES).join(device);
    if !device.contains('/') && by_place.is_dir() {
        return Ok(by_place);
    }
    let none = || format!("there is no device {device}");
    let (vendor, id) = device.split_once(':').with_context(none)?;
    let is = |path: &Path, file: &str, wanted: &str| {
        fs::read_to_string(path.join(file))
            .is_ok_and(|found| found.trim().trim_start_matches("0x") == wanted)
    };
    for entry in fs::read_dir(DEVICES).context("the guest has no PCI")? {
        let path = entry?.path();
        if is(&path, "vendor", vendor) && is(&path, "device", id) {
            return Ok(path);
        }
    }
    bail!(none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ram(width: u32, offset: u64) -> Accesses {
        Accesses {
            device: "ram".to_owned(),
            bar: 0,
            offset,
            width,
            write: None,
            batches: 3,
            accesses: 2,
        }
    }

    #[test]
    fn every_width_is_read_and_written() {
        for width in [1, 2, 4, 8] {
            let asked = ram(width, 4096 - u64::from(width));
            assert_eq!(time(&asked).expect("memory").len(), 3);
            let write = Some(5);
            assert_eq!(time(&Accesses { write, ..asked }).expect("memory").len(), 3);
        }
    }

    #[test]
    fn what_is_no_word_is_refused() {
        for (width, offset) in [
            (3, 0),
            (0, 0),
            (16, 0),
            (4, 2),
            (4, 4096),
            (8, u64::MAX - 7),
        ] {
            time(&ram(width, offset)).expect_err("no word");
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_named() {
        let device = "ffff:ffff".to_owned();
        let error = time(&Accesses {
            device,
            ..ram(4, 0)
        })
        .expect_err("none");
        assert!(format!("{error:#}").contains("ffff:ffff"), "{error:#}");
    }
}
