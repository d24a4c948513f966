// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A flight recorder for each device: the last accesses to its registers, and what
//! the library or the device warned of. It is always on, so that a failure can be
//! explained without another run. Accesses to mapped memory do not pass here.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::bar::BarIndex;

/// Accesses kept.
const ACCESSES: usize = 64;
/// Warnings kept, of different kinds.
const WARNINGS: usize = 32;

/// Says how the register at an offset of a BAR is called, where there is one.
pub type RegisterNames = fn(BarIndex, u64) -> Option<String>;

/// An access of the guest to a register, or several that were the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterAccess {
    /// When the last of them began.
    pub at: Instant,
    /// In which BAR.
    pub bar: BarIndex,
    /// Where in the BAR, bytes.
    pub offset: u64,
    /// The register's name, where the device gives them names.
    pub name: Option<String>,
    /// How many bytes.
    pub len: usize,
    /// Whether it was a write.
    pub write: bool,
    /// What was read or written, little-endian, as far as eight bytes hold it; `None`
    /// of a read that the device has not answered.
    pub value: Option<u64>,
    /// How often in a row.
    pub count: u64,
}

impl RegisterAccess {
    fn is_as(&self, other: &Self) -> bool {
        let of = |access: &Self| {
            let Self {
                bar,
                offset,
                len,
                write,
                value,
                ..
            } = *access;
            (bar, offset, len, write, value)
        };
        of(self) == of(other)
    }
}

impl fmt::Display for RegisterAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.write { "write" } else { "read " };
        let (bar, offset, len) = (self.bar.get(), self.offset, self.len);
        write!(f, "{what} BAR{bar}+{offset:#06x}")?;
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        write!(f, ", {len} bytes: ")?;
        match self.value {
            Some(value) => write!(f, "{value:#0width$x}", width = 2 + 2 * len.min(8))?,
            None => f.write_str("no answer")?,
        }
        match self.count {
            1 => Ok(()),
            count => write!(f, " ({count} times)"),
        }
    }
}

/// What the library or a device warned of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The first one of its kind.
    pub text: String,
    /// How many there were that differ in nothing but numbers.
    pub count: u64,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => f.write_str(&self.text),
            count => write!(f, "{} ({count} times)", self.text),
        }
    }
}

/// The recorder of a device. Clones speak of the same device.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    accesses: VecDeque<RegisterAccess>,
    names: Option<RegisterNames>,
    total: u64,
    warnings: Vec<Warning>,
}

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the registers are called.
    pub(crate) fn name_by(&self, names: RegisterNames) {
        self.lock().names = Some(names);
    }

    /// The guest reads; what the device answers is [recorded](Self::answered) behind it.
    pub(crate) fn read(&self, bar: BarIndex, offset: u64, len: usize) {
        self.push(bar, offset, len, false, None);
    }

    /// What the device answered to the read before.
    pub(crate) fn answered(&self, data: &[u8]) {
        let mut recorded = self.lock();
        if let Some(access) = recorded.accesses.back_mut() {
            access.value = Some(value(data));
            recorded.merge();
        }
    }

    /// The guest writes.
    pub(crate) fn write(&self, bar: BarIndex, offset: u64, data: &[u8]) {
        self.push(bar, offset, data.len(), true, Some(value(data)));
    }

    fn push(&self, bar: BarIndex, offset: u64, len: usize, write: bool, value: Option<u64>) {
        let access = RegisterAccess {
            at: Instant::now(),
            bar,
            offset,
            name: None,
            len,
            write,
            value,
            count: 1,
        };
        let mut recorded = self.lock();
        recorded.total += 1;
        // One more than is kept, for the read that becomes one with that before.
        if recorded.accesses.len() > ACCESSES {
            recorded.accesses.pop_front();
        }
        recorded.accesses.push_back(access);
        if value.is_some() {
            recorded.merge();
        }
    }

    /// The last accesses, oldest first, and how many there were in all.
    #[must_use]
    pub fn accesses(&self) -> (Vec<RegisterAccess>, u64) {
        let recorded = self.lock();
        let more = recorded.accesses.len().saturating_sub(ACCESSES);
        let kept = recorded.accesses.iter().skip(more).cloned();
        let named = kept.map(|access| RegisterAccess {
            name: recorded
                .names
                .and_then(|name| name(access.bar, access.offset)),
            ..access
        });
        (named.collect(), recorded.total)
    }

    /// Logs a warning and keeps it: of each kind the first, and how many there were.
    /// What somebody asked for by a fault is none.
    pub fn warn(&self, warning: impl fmt::Display) {
        let text = warning.to_string();
        let mut recorded = self.lock();
        let kind = kind(&text);
        let known = recorded
            .warnings
            .iter_mut()
            .find(|known| self::kind(&known.text) == kind);
        match known {
            Some(known) => known.count += 1,
            None => {
                tracing::warn!("{text}");
                if recorded.warnings.len() < WARNINGS {
                    recorded.warnings.push(Warning { text, count: 1 });
                }
            }
        }
    }

    /// The warnings, in the order in which the first of each kind came.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        self.lock().warnings.clone()
    }
}

impl Recorded {
    /// Makes the last access one with that before, if they are the same.
    fn merge(&mut self) {
        let Some(last) = self.accesses.pop_back() else {
            return;
        };
        match self
            .accesses
            .back_mut()
            .filter(|before| before.is_as(&last))
        {
            Some(before) => (before.at, before.count) = (last.at, before.count + 1),
            None => self.accesses.push_back(last),
        }
    }
}

fn value(data: &[u8]) -> u64 {
    let bytes = data.iter().take(8).zip(0..);
    bytes.fold(0, |value, (byte, index)| {
        value | u64::from(*byte) << (8 * index)
    })
}

/// A warning without its numbers.
fn kind(text: &str) -> Vec<&str> {
    let is_number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !is_number(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(recorder: &Recorder) -> Vec<String> {
        let (accesses, _) = recorder.accesses();
        accesses.iter().map(RegisterAccess::to_string).collect()
    }

    #[test]
    fn accesses_are_shown_in_order_and_the_same_ones_once() {
        let recorder = Recorder::default();
        recorder.name_by(|_, offset| (offset == 4).then(|| "Control".to_owned()));
        recorder.write(BarIndex::BAR0, 4, &1_u32.to_le_bytes());
        for _ in 0..3 {
            recorder.read(BarIndex::BAR0, 0x20, 4);
            recorder.answered(&0x81_u32.to_le_bytes());
        }
        recorder.read(BarIndex::BAR2, 0xc, 1);
        let expected = [
            "write BAR0+0x0004 Control, 4 bytes: 0x00000001",
            "read  BAR0+0x0020, 4 bytes: 0x00000081 (3 times)",
            "read  BAR2+0x000c, 1 bytes: no answer",
        ];
        assert_eq!(shown(&recorder), expected);
        assert_eq!(recorder.accesses().1, 5);
    }

    #[test]
    fn the_last_accesses_are_kept() {
        let recorder = Recorder::default();
        for offset in 0..1000_u64 {
            recorder.read(BarIndex::BAR0, offset, 1);
            recorder.answered(&[0]);
        }
        let (accesses, total) = recorder.accesses();
        assert_eq!((accesses.len(), total), (ACCESSES, 1000));
        assert_eq!(
            accesses.first().map(|access| access.offset),
            Some(1000 - 64)
        );
        assert_eq!(accesses.last().map(|access| access.offset), Some(999));
    }

    #[test]
    fn of_warnings_that_differ_in_numbers_the_first_is_kept() {
        let recorder = Recorder::default();
        for warning in [
            "DMA at 0x1000: off",
            "DMA at 0x2000: off",
            "DMA at 0x1000: no memory",
        ] {
            recorder.warn(warning);
        }
        let shown: Vec<String> = recorder.warnings().iter().map(Warning::to_string).collect();
        assert_eq!(
            shown,
            ["DMA at 0x1000: off (2 times)", "DMA at 0x1000: no memory"]
        );
        for number in 0..1000 {
            recorder.warn(format_args!("{} x", "y".repeat(number)));
        }
        assert_eq!(recorder.warnings().len(), WARNINGS);
    }
}
