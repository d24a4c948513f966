// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory of ours that the device may write: mapped for us, and by the IOMMU
//! for the device.

#![allow(unsafe_code)]

use std::sync::Arc;

use anyhow::{Context, Result};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vfio_ioctls::VfioContainer;

use crate::mapping::Mapping;

/// Where the device finds the memory: any address will do that is not zero
/// and not that of the interrupts (0xfee00000).
const ADDRESS: u64 = 0x1000_0000;

/// Memory that the device may write while this exists.
pub struct Area {
    memory: Mapping,
    container: Arc<VfioContainer>,
}

impl Area {
    /// `len` bytes, all zero; whole pages.
    pub fn new(container: Arc<VfioContainer>, len: usize) -> Result<Self> {
        let file =
            memfd_create("irqbed-rings", MemfdFlags::CLOEXEC).context("no memory for the rings")?;
        ftruncate(&file, len as u64).context("no memory for the rings")?;
        let memory = Mapping::shared(&file, len).context("cannot map the rings")?;
        // SAFETY: all of the memory belongs to the mapping, which hands out
        // atomics and copies only and lives until it was unmapped in `drop`.
        unsafe { container.vfio_dma_map(ADDRESS, len, memory.as_ptr()) }
            .context("the IOMMU does not map the rings")?;
        Ok(Self { memory, container })
    }

    /// The memory as we see it.
    pub fn memory(&self) -> &Mapping {
        &self.memory
    }

    /// The address by which the device knows an offset in bytes.
    pub fn address(&self, offset: usize) -> u64 {
        ADDRESS + offset as u64
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // It fails only for a range that is not mapped.
        let _ = self.container.vfio_dma_unmap(ADDRESS, self.memory.len());
    }
}
