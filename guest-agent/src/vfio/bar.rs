// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The instrument BAR through the file of a `vfio-pci` device: our own, or
//! that of a listener, for only one process may open the device, but its file
//! may be shared.

#![allow(unsafe_code)]

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use anyhow::{Context, Result};
use irqbed_abi::pci::{INSTRUMENT_BAR, INSTRUMENT_BAR_SIZE};
use rustix::{
    ioctl::{Opcode, Updater, ioctl, opcode},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};
use vfio_bindings::bindings::vfio::{VFIO_BASE, VFIO_TYPE, vfio_region_info};
use vfio_ioctls::VfioDevice;

use crate::{instrument::Instrument, mapping::Mapping};

/// `VFIO_DEVICE_GET_REGION_INFO` (linux/vfio.h).
const GET_REGION_INFO: Opcode = opcode::none(VFIO_TYPE, VFIO_BASE as u8 + 8);
/// What the open file of a device is called in `/proc`.
const FILE: &str = "anon_inode:[vfio-device]";

/// The instrument BAR of a device that we have open.
pub(super) fn instrument(device: &VfioDevice) -> Result<Instrument> {
    // SAFETY: the device keeps its file open for as long as it is borrowed.
    let file = unsafe { BorrowedFd::borrow_raw(device.as_raw_fd()) };
    map(file)
}

/// The instrument BAR of the device that a listener has open.
pub fn instrument_of(listener: Pid) -> Result<Instrument> {
    map(file_of(listener)?.as_fd())
}

fn map(file: BorrowedFd<'_>) -> Result<Instrument> {
    let mut info = vfio_region_info {
        argsz: u32::try_from(size_of::<vfio_region_info>())?,
        index: INSTRUMENT_BAR,
        ..Default::default()
    };
    // SAFETY: the kernel reads and writes a `vfio_region_info` of `argsz` bytes
    // for this command.
    unsafe { ioctl(file, Updater::<GET_REGION_INFO, _>::new(&mut info)) }
        .context("vfio-pci does not say where the instrument BAR is")?;
    let size = usize::try_from(INSTRUMENT_BAR_SIZE)?;
    let mapping = Mapping::at(file, info.offset, size)
        .context("cannot map the instrument BAR from vfio-pci")?;
    Ok(Instrument::over(mapping))
}

/// The file of the device in another process.
fn file_of(listener: Pid) -> Result<OwnedFd> {
    let folder = format!("/proc/{}/fd", listener.as_raw_pid());
    let is_device = |file: &Path| fs::read_link(file).is_ok_and(|name| name == Path::new(FILE));
    let number = fs::read_dir(&folder)
        .with_context(|| format!("cannot read {folder}"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| is_device(file))
        .find_map(|file| file.file_name()?.to_str()?.parse().ok())
        .context("the listener does not have the event device open")?;
    let process = pidfd_open(listener, PidfdFlags::empty()).context("the listener is gone")?;
    pidfd_getfd(process, number, PidfdGetfdFlags::empty())
        .context("cannot share the listener's device")
}
