// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Gives the event device to `vfio-pci` and takes it back, through sysfs.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use irqbed_abi::pci::{PCI_DEVICE_ID, PCI_VENDOR_ID};

use crate::module;

/// Where the PCI bus shows its devices and drivers.
const BUS: &str = "/sys/bus/pci";
/// The stock driver.
const DRIVER: &str = "vfio-pci";
/// Its modules; which others they need depends on the kernel.
const MODULES: [&str; 2] = ["vfio_iommu_type1", DRIVER];

/// The event device's folder below [`BUS`].
pub(super) fn event_device() -> Result<PathBuf> {
    let devices = Path::new(BUS).join("devices");
    let entries =
        fs::read_dir(&devices).with_context(|| format!("cannot read {}", devices.display()))?;
    for entry in entries {
        let device = entry?.path();
        if holds(&device.join("vendor"), PCI_VENDOR_ID)
            && holds(&device.join("device"), PCI_DEVICE_ID)
        {
            return Ok(device);
        }
    }
    bail!("there is no event device on the PCI bus")
}

/// Whether a file of sysfs holds an id.
fn holds(file: &Path, id: u16) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.trim() == format!("{id:#06x}"))
}

/// Name of the driver that has a device.
fn driver_of(device: &Path) -> Option<String> {
    name_of(&fs::read_link(device.join("driver")).ok()?)
}

fn name_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

fn address_of(device: &Path) -> Result<String> {
    name_of(device).context("a PCI device without an address")
}

fn write(file: &Path, value: &str) -> Result<()> {
    fs::write(file, value).with_context(|| format!("cannot write to {}", file.display()))
}

/// The file by which processes get the device, that of its IOMMU group.
fn group_of(device: &Path) -> Result<PathBuf> {
    let group = fs::read_link(device.join("iommu_group")).ok();
    let number = group.as_deref().and_then(name_of).context(
        "the event device is behind no IOMMU, and vfio-pci gives away no device without: boot a \
         machine with one",
    )?;
    Ok(Path::new("/dev/vfio").join(number))
}

/// Gives the device to `vfio-pci`, whose modules are loaded where they are not.
pub fn bind() -> Result<()> {
    let device = event_device()?;
    group_of(&device)?;
    if let Some(driver) = driver_of(&device) {
        bail!("the event device has a driver already: {driver}");
    }
    module::load_stock(&MODULES)?;
    write(&device.join("driver_override"), DRIVER)?;
    let address = address_of(&device)?;
    write(&Path::new(BUS).join("drivers_probe"), &address)?;
    match driver_of(&device) {
        Some(driver) if driver == DRIVER => Ok(()),
        other => bail!(
            "{DRIVER} did not take the event device {address}, {} has it: see dmesg",
            other.as_deref().unwrap_or("nobody")
        ),
    }
}

/// Takes the device from `vfio-pci`, for any driver to have.
pub fn unbind() -> Result<()> {
    let device = event_device()?;
    if driver_of(&device).as_deref() != Some(DRIVER) {
        bail!("{DRIVER} does not have the event device");
    }
    // The kernel would wait for whoever has it open, and we with it.
    match File::open(group_of(&device)?) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            bail!("a process still drives the event device: end it first")
        }
        opened => drop(opened.context("cannot open the device's IOMMU group")?),
    }
    let folder = Path::new(BUS).join("drivers").join(DRIVER);
    write(&folder.join("unbind"), &address_of(&device)?)?;
    write(&device.join("driver_override"), "\n")
}
