// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kinds of faults, each with what it needs to know.

use std::time::Duration;

use super::delay::Distribution;
use irqbed_pci::bar::BarIndex;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FaultKind {
    /// An interrupt is lost; the device thinks that it was sent.
    IrqLost,
    /// An interrupt comes twice.
    IrqDuplicated {
        /// How long after the first one; two that come at once are one to most
        /// hypervisors.
        gap: Duration,
    },
    /// An interrupt is late.
    IrqDelayed {
        /// How late.
        delay: Distribution,
    },
    /// Interrupts with no event behind them, from the moment the fault is
    /// armed.
    IrqSpurious {
        /// How many a second; `None` for a single one, at once.
        rate: Option<f64>,
    },
    /// Many interrupts follow one.
    IrqStorm {
        /// How many.
        interrupts: u32,
        /// How many a second.
        rate: f64,
    },
    /// An interrupt comes on another vector.
    IrqMisrouted {
        /// Which; `None` for any of the others.
        to: Option<u32>,
    },
    /// Reads return all ones, as from a device that does not answer.
    ReadsOnes(Registers),
    /// Bits of a register read as if they were stuck.
    BitsStuck {
        /// The BAR.
        bar: BarIndex,
        /// Offset of the register, bytes.
        offset: u64,
        /// The bits, little-endian from `offset` on, at most 64.
        mask: u64,
        /// What they are stuck at; no bit outside of `mask` is set.
        value: u64,
    },
    /// Only the first part of a write arrives at once.
    DmaTorn {
        /// How much does, bytes; shorter writes are left alone.
        bytes: u32,
        /// When the rest does; `None` for never.
        rest: Option<Duration>,
        /// Only writes of this length, bytes.
        length: Option<u32>,
    },
    /// A write arrives late, and what was written or signalled after it is there
    /// before.
    DmaLate {
        /// How late.
        delay: Distribution,
        /// Only writes of this length, bytes.
        length: Option<u32>,
    },
    /// A write goes somewhere else.
    DmaMisplaced {
        /// Where to.
        place: Place,
        /// Only writes of this length, bytes.
        length: Option<u32>,
    },
    /// A write arrives with bits flipped.
    DmaCorrupted {
        /// How many of them, 1 to 64.
        bits: u32,
        /// Only writes of this length, bytes.
        length: Option<u32>,
    },
    /// A write is refused, and the device told so.
    DmaFailed {
        /// Only writes of this length, bytes.
        length: Option<u32>,
    },
    /// Two completions of a burst change places. The device does that itself,
    /// and says where it can: [`Hooks::swap`](irqbed_pci::hook::Hooks::swap).
    CompletionsSwapped,
    /// The function is gone: all ones on every read, writes lost, no interrupt,
    /// no DMA.
    Removed(When),
    /// A function that is gone comes back, as after power on.
    Returned(When),
    /// The function is reset, and its driver not told.
    Reset(When),
}

/// Where registers lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registers {
    /// The BAR; `None` for all of them.
    pub bar: Option<BarIndex>,
    /// First byte.
    pub offset: u64,
    /// How many; `None` for all from `offset` on.
    pub size: Option<u64>,
}

/// Where a misplaced write goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// So many bytes on (or back), around the end of the page of 4 KiB that it
    /// belongs into: memory that a driver's coherent DMA buffer has for itself.
    Page(i64),
    /// So many bytes on (or back), wherever that is: this breaks guests.
    Anywhere(i64),
    /// Outside of all memory: it is lost, and the device does not know.
    Outside,
}

/// When something happens to the whole function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So long after the fault was armed; at once for zero.
    In(Duration),
    /// At an access, the moment before it is carried out.
    At(Access),
}

/// What passes between a function and its bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The function interrupts.
    Interrupt,
    /// The function writes to the guest's memory.
    Dma,
    /// A register is read.
    Read,
    /// A register is written.
    Write,
}

impl Access {
    pub(super) const ALL: [(&'static str, Self); 4] = [
        ("interrupt", Self::Interrupt),
        ("dma", Self::Dma),
        ("read", Self::Read),
        ("write", Self::Write),
    ];

    pub(super) fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(_, access)| *access == self);
        named.map_or("", |(name, _)| name)
    }
}

/// The names of all kinds, in the text form.
pub const NAMES: &[&str] = &[
    "irq-lost",
    "irq-duplicated",
    "irq-delayed",
    "irq-spurious",
    "irq-storm",
    "irq-misrouted",
    "reads-ones",
    "bits-stuck",
    "dma-torn",
    "dma-late",
    "dma-misplaced",
    "dma-corrupted",
    "dma-failed",
    "completions-swapped",
    "removed",
    "returned",
    "reset",
];

impl FaultKind {
    /// The name in the text form.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::IrqLost => "irq-lost",
            Self::IrqDuplicated { .. } => "irq-duplicated",
            Self::IrqDelayed { .. } => "irq-delayed",
            Self::IrqSpurious { .. } => "irq-spurious",
            Self::IrqStorm { .. } => "irq-storm",
            Self::IrqMisrouted { .. } => "irq-misrouted",
            Self::ReadsOnes(_) => "reads-ones",
            Self::BitsStuck { .. } => "bits-stuck",
            Self::DmaTorn { .. } => "dma-torn",
            Self::DmaLate { .. } => "dma-late",
            Self::DmaMisplaced { .. } => "dma-misplaced",
            Self::DmaCorrupted { .. } => "dma-corrupted",
            Self::DmaFailed { .. } => "dma-failed",
            Self::CompletionsSwapped => "completions-swapped",
            Self::Removed(_) => "removed",
            Self::Returned(_) => "returned",
            Self::Reset(_) => "reset",
        }
    }

    /// Whether it can be had on one vector alone.
    #[must_use]
    pub const fn is_of_a_vector(&self) -> bool {
        matches!(
            self,
            Self::IrqLost
                | Self::IrqDuplicated { .. }
                | Self::IrqDelayed { .. }
                | Self::IrqSpurious { .. }
                | Self::IrqStorm { .. }
                | Self::IrqMisrouted { .. }
                | Self::CompletionsSwapped
        )
    }

    /// When, of a kind that is of the whole function.
    pub(super) const fn when(&self) -> Option<When> {
        match self {
            Self::Removed(when) | Self::Returned(when) | Self::Reset(when) => Some(*when),
            _ => None,
        }
    }

    /// Whether it happens at most once for that it is armed.
    pub(super) const fn is_single(&self) -> bool {
        matches!(self, Self::IrqSpurious { rate: None }) || matches!(self.when(), Some(When::In(_)))
    }
}
