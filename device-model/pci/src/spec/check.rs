// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether a description can be a PCI function, the capabilities' places
//! aside, which [`crate::config_space::ConfigSpace::new`] finds.

use super::{DeviceSpec, MAX_MSI_VECTORS, SpecError};
use crate::{
    bar::{Area, Bar, BarKind},
    capability::{Msi, Msix},
};

/// Least size of a BAR of memory (PCI 3.0, 6.2.5.1), bytes.
const MIN_BAR: u64 = 16;
/// Sizes of a BAR of I/O ports (PCI 3.0, 6.2.5.1), bytes.
const IO_BAR: std::ops::RangeInclusive<u64> = 4..=256;
/// Granularity of a mapping, bytes.
const PAGE: u64 = 4096;
/// Most vectors of MSI-X (PCI 3.0, 6.8.2).
const MAX_VECTORS: u32 = 2048;

/// Names the first thing that is wrong.
pub(super) fn check(spec: &DeviceSpec) -> Result<(), SpecError> {
    if let Some(Msix { vectors, .. }) = spec.msix
        && !(1..=MAX_VECTORS).contains(&vectors)
    {
        return Err(SpecError::MsixVectors { vectors });
    }
    for (index, bar) in spec.bars.iter().enumerate() {
        if let Some(bar) = bar {
            match bar.kind {
                BarKind::Memory => check_memory(spec, index, bar)?,
                BarKind::Io => check_io(index, bar)?,
            }
        }
    }
    if let Some(msix) = spec.msix.filter(|msix| !msix_fits(spec, msix)) {
        return Err(SpecError::BadMsix {
            bar: msix.bar.get(),
            vectors: msix.vectors,
        });
    }
    match spec.msi {
        Some(Msi { vectors }) if !vectors.is_power_of_two() || vectors > MAX_MSI_VECTORS => {
            Err(SpecError::BadMsi { vectors })
        }
        _ => Ok(()),
    }
}

fn check_io(bar: usize, of: &Bar) -> Result<(), SpecError> {
    let size = of.size;
    if !size.is_power_of_two() || !IO_BAR.contains(&size) {
        return Err(SpecError::IoBarSize { bar, size });
    }
    let wrong = [
        (of.wide, "64 bits wide"),
        (of.prefetchable, "prefetchable"),
        (of.mapping.is_some(), "mapped"),
    ];
    match wrong.into_iter().find(|(wrong, _)| *wrong) {
        Some((_, what)) => Err(SpecError::IoBar { bar, what }),
        None => Ok(()),
    }
}

fn check_memory(spec: &DeviceSpec, index: usize, bar: &Bar) -> Result<(), SpecError> {
    let size = bar.size;
    let largest = if bar.wide { 1 << 63 } else { 1 << 31 };
    if !size.is_power_of_two() || !(MIN_BAR..=largest).contains(&size) {
        return Err(SpecError::BarSize { bar: index, size });
    }
    if bar.wide && !matches!(spec.bars.get(index + 1), Some(None)) {
        return Err(SpecError::NoUpperHalf { bar: index });
    }
    let Some(mapping) = &bar.mapping else {
        return Ok(());
    };
    let mut free_from = 0;
    for area in &mapping.areas {
        let pages =
            area.offset.is_multiple_of(PAGE) && area.size.is_multiple_of(PAGE) && area.size > 0;
        match area.end() {
            Some(end) if pages && area.offset >= free_from && end <= size => free_from = end,
            _ => {
                return Err(SpecError::BadArea {
                    bar: index,
                    offset: area.offset,
                });
            }
        }
    }
    let found = mapping
        .file
        .metadata()
        .map_err(|source| SpecError::BadFile { bar: index, source })?
        .len();
    if found < size {
        return Err(SpecError::ShortFile {
            bar: index,
            found,
            size,
        });
    }
    Ok(())
}

fn msix_fits(spec: &DeviceSpec, msix: &Msix) -> bool {
    let Some(bar) = spec.get_bar(msix.bar.get()) else {
        return false;
    };
    let (table, pending) = (msix.table(), msix.pending());
    let inside = |area: &Area| {
        area.offset.is_multiple_of(8) && area.end().is_some_and(|end| end <= bar.size)
    };
    let mapped = bar.mapping.iter().flat_map(|mapping| &mapping.areas);
    bar.kind == BarKind::Memory
        && inside(&table)
        && inside(&pending)
        && !table.overlaps(&pending)
        && !mapped
            .into_iter()
            .any(|area| area.overlaps(&table) || area.overlaps(&pending))
}
