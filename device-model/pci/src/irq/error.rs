// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be wrong with an interrupt, or with a request about interrupts.

/// An interrupt that cannot be signalled, or a request about interrupts that
/// makes no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IrqError {
    /// The device has no such vector.
    #[error("there is no interrupt vector {vector}: the device has {count}")]
    NoVector {
        /// The vector asked for.
        vector: u32,
        /// How many there are.
        count: usize,
    },
    /// The eventfd did not take the signal.
    #[error("vector {vector}: its eventfd does not take the signal")]
    Eventfd {
        /// The vector.
        vector: u32,
        /// What the system said.
        source: std::io::Error,
    },
    /// What came as an eventfd is none, or cannot be used as one.
    #[error("vector {vector}: what came as its eventfd cannot be used: {source}")]
    NoEventfd {
        /// The vector.
        vector: u32,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// The hypervisor wants to be told when an interrupt is masked, which is not
    /// supported.
    #[error("SET_IRQS of index {index}: no eventfd is told about masking")]
    NoMaskEvents {
        /// Kind of interrupt, `VFIO_PCI_*_IRQ_INDEX`.
        index: u32,
    },
    /// The hypervisor asked for what does not exist.
    #[error(
        "SET_IRQS of index {index}, flags {flags:#x}, start {start}, count {count} with {fds} file descriptors is not a valid request"
    )]
    BadRequest {
        /// Kind of interrupt, `VFIO_PCI_*_IRQ_INDEX`.
        index: u32,
        /// `VFIO_IRQ_SET_*` bits.
        flags: u32,
        /// First vector.
        start: u32,
        /// Number of vectors.
        count: u32,
        /// File descriptors that came along.
        fds: usize,
    },
}
