// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What lies on the wire: structures and numbers of the vfio-user protocol
//! (QEMU's `docs/interop/vfio-user.rst`, and `linux/vfio.h`, whose structures
//! it carries). Everything is in the byte order of the host.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Size of the header of every message, bytes.
pub const HEADER_SIZE: usize = size_of::<Header>();
/// Most data that one message carries, bytes: what is told to the client as
/// `max_data_xfer_size`.
pub const MAX_DATA: u32 = 1 << 20;
/// Longest message that is taken or sent, bytes: a header, the fixed part of an
/// access, and its data.
pub const MAX_MESSAGE: usize = HEADER_SIZE + size_of::<RegionAccess>() + MAX_DATA as usize;
/// Most file descriptors that are taken with one message: what is told to the
/// client as `max_msg_fds`.
pub const MAX_FDS: usize = 16;
/// Regions of a PCI device: six BARs, ROM, configuration space and VGA.
pub const PCI_REGIONS: u32 = 9;
/// Kinds of interrupts of a PCI device: INTx, MSI, MSI-X, error and request.
pub const PCI_IRQS: u32 = 5;

/// Bits of [`Header::flags`] that hold the type of a message.
const TYPE: u32 = 0xf;
/// Type: a command.
const TYPE_COMMAND: u32 = 0;
/// Type: a reply.
pub(super) const TYPE_REPLY: u32 = 1;
/// The sender of a command wants no reply.
pub(super) const NO_REPLY: u32 = 1 << 4;
/// The command that is replied to has failed.
pub(super) const ERROR: u32 = 1 << 5;

/// What every message begins with.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Header {
    /// Chosen by who sends a command, repeated in the reply.
    pub id: u16,
    /// A [`Command`], or anything else.
    pub command: u16,
    /// Length of the whole message, bytes.
    pub size: u32,
    /// Type, and whether a reply is wanted or an error told.
    pub flags: u32,
    /// Of a reply that tells an error: the errno.
    pub error: u32,
}

impl Header {
    /// The header of the message that begins with these bytes; `None` where
    /// they are too few.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        Self::read_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    /// Whether this is a command.
    #[must_use]
    pub const fn is_command(&self) -> bool {
        self.flags & TYPE == TYPE_COMMAND
    }

    /// Whether this is a reply.
    #[must_use]
    pub const fn is_reply(&self) -> bool {
        self.flags & TYPE == TYPE_REPLY
    }

    /// Whether its sender waits for a reply.
    #[must_use]
    pub const fn wants_reply(&self) -> bool {
        self.flags & NO_REPLY == 0
    }
}

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Command {
    /// Which version, and what the two sides can do.
    Version = 1,
    /// Memory appears.
    DmaMap = 2,
    /// Memory disappears.
    DmaUnmap = 3,
    /// What the device is.
    DeviceGetInfo = 4,
    /// What a region is, and which parts can be mapped.
    RegionGetInfo = 5,
    /// Which descriptors take writes to a region.
    RegionGetIoFds = 6,
    /// What a kind of interrupt is.
    IrqGetInfo = 7,
    /// Connects, masks or triggers interrupts.
    SetIrqs = 8,
    /// Reads a region.
    RegionRead = 9,
    /// Writes a region.
    RegionWrite = 10,
    /// The server reads memory of the client.
    DmaRead = 11,
    /// The server writes memory of the client.
    DmaWrite = 12,
    /// Resets the device.
    DeviceReset = 13,
    /// Tracks dirty pages, for migration; of earlier versions.
    DirtyPages = 14,
    /// Several short writes to regions.
    RegionWriteMulti = 15,
    /// Gets or sets a feature, for migration.
    DeviceFeature = 16,
    /// Reads the state of the device, for migration.
    MigrationRead = 17,
    /// Writes the state of the device, for migration.
    MigrationWrite = 18,
}

impl Command {
    /// The command of that number, where there is one.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Version,
            2 => Self::DmaMap,
            3 => Self::DmaUnmap,
            4 => Self::DeviceGetInfo,
            5 => Self::RegionGetInfo,
            6 => Self::RegionGetIoFds,
            7 => Self::IrqGetInfo,
            8 => Self::SetIrqs,
            9 => Self::RegionRead,
            10 => Self::RegionWrite,
            11 => Self::DmaRead,
            12 => Self::DmaWrite,
            13 => Self::DeviceReset,
            14 => Self::DirtyPages,
            15 => Self::RegionWriteMulti,
            16 => Self::DeviceFeature,
            17 => Self::MigrationRead,
            18 => Self::MigrationWrite,
            _ => return None,
        })
    }
}

/// Declares a structure of the wire.
macro_rules! wire {
    ($($(#[$meta:meta])* struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
        #[repr(C)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }
    )*};
}

wire! {
    /// Command and reply of [`Command::Version`]; JSON follows.
    struct Version {
        /// Must be that of the other side.
        major: u16,
        /// The reply's is at most the command's.
        minor: u16,
    }

    /// [`Command::DmaMap`] (`struct vfio_iommu_type1_dma_map`).
    struct DmaMap {
        /// Length of this structure, bytes.
        argsz: u32,
        /// Bit 0: may be read; bit 1: may be written.
        flags: u32,
        /// Offset in the file, bytes.
        offset: u64,
        /// First address.
        address: u64,
        /// Length, bytes.
        size: u64,
    }

    /// Command and reply of [`Command::DmaUnmap`]
    /// (`struct vfio_iommu_type1_dma_unmap`).
    struct DmaUnmap {
        /// Length of this structure, bytes.
        argsz: u32,
        /// Bit 0: asks for dirty pages; bit 1: everything.
        flags: u32,
        /// First address.
        address: u64,
        /// Length, bytes.
        size: u64,
    }

    /// Command and reply of [`Command::DeviceGetInfo`]
    /// (`struct vfio_device_info`).
    struct DeviceInfo {
        /// Length of the longest reply that is taken; of the whole reply.
        argsz: u32,
        /// `VFIO_DEVICE_FLAGS_*`.
        flags: u32,
        /// Number of regions.
        regions: u32,
        /// Number of kinds of interrupts.
        irqs: u32,
    }

    /// Command and reply of [`Command::RegionGetInfo`]
    /// (`struct vfio_region_info`); capabilities follow.
    struct RegionInfo {
        /// Length of the longest reply that is taken; of the whole reply.
        argsz: u32,
        /// `VFIO_REGION_INFO_FLAG_*`.
        flags: u32,
        /// Number of the region.
        index: u32,
        /// Where the first capability lies, from the start of this structure.
        cap_offset: u32,
        /// Length of the region, bytes.
        size: u64,
        /// Where the region begins in its file, bytes.
        offset: u64,
    }

    /// The capability of a region that can be mapped in parts
    /// (`struct vfio_region_info_cap_sparse_mmap`); [`SparseArea`]s follow.
    struct SparseHeader {
        /// `VFIO_REGION_INFO_CAP_SPARSE_MMAP`.
        id: u16,
        /// 1.
        version: u16,
        /// Where the next capability lies; 0 for the last.
        next: u32,
        /// Number of areas.
        areas: u32,
        /// 0.
        reserved: u32,
    }

    /// A part of a region that can be mapped.
    struct SparseArea {
        /// Offset in the region, bytes.
        offset: u64,
        /// Length, bytes.
        size: u64,
    }

    /// Command and reply of [`Command::RegionGetIoFds`]; [`SubRegion`]s follow.
    struct RegionIoFds {
        /// Length of the longest reply that is taken; of the whole reply.
        argsz: u32,
        /// 0.
        flags: u32,
        /// Number of the region.
        index: u32,
        /// Number of parts that follow.
        count: u32,
    }

    /// A part of a region whose writes a descriptor takes.
    struct SubRegion {
        /// Offset in the region, bytes.
        offset: u64,
        /// Length of the access; 0 for any.
        size: u64,
        /// Which descriptor of the message.
        fd_index: u32,
        /// 0: an eventfd, as `KVM_IOEVENTFD` takes it.
        kind: u32,
        /// Bit 0: only where the value written is `datamatch`.
        flags: u32,
        /// 0.
        padding: u32,
        /// The value.
        datamatch: u64,
    }

    /// Command and reply of [`Command::IrqGetInfo`] (`struct vfio_irq_info`).
    struct IrqInfoWire {
        /// Length of the longest reply that is taken; of the whole reply.
        argsz: u32,
        /// `VFIO_IRQ_INFO_*`.
        flags: u32,
        /// Kind of interrupt.
        index: u32,
        /// Number of vectors.
        count: u32,
    }

    /// [`Command::SetIrqs`] (`struct vfio_irq_set`); booleans may follow.
    struct IrqSet {
        /// Length of this structure and what follows, bytes.
        argsz: u32,
        /// `VFIO_IRQ_SET_*`.
        flags: u32,
        /// Kind of interrupt.
        index: u32,
        /// First vector.
        start: u32,
        /// Number of vectors.
        count: u32,
    }

    /// Command and reply of [`Command::RegionRead`] and
    /// [`Command::RegionWrite`]; data may follow.
    struct RegionAccess {
        /// Offset in the region, bytes.
        offset: u64,
        /// Number of the region.
        region: u32,
        /// Length of the data, bytes.
        count: u32,
    }

    /// One write of [`Command::RegionWriteMulti`].
    struct ShortWrite {
        /// Where, and how much of the data.
        access: RegionAccess,
        /// The data.
        data: [u8; 8],
    }

    /// Command and reply of [`Command::DmaRead`] and [`Command::DmaWrite`];
    /// data may follow.
    struct DmaAccess {
        /// First address.
        address: u64,
        /// Length of the data, bytes.
        count: u64,
    }
}
