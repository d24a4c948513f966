// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The table of a set of registers: which register an access touches.

use std::fmt::Write as _;

/// What software may do with a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It reads what the device says; writes are lost.
    ReadOnly,
    /// It reads what it wrote.
    ReadWrite,
    /// It clears the bits that it writes as 1.
    WriteOneToClear,
    /// It clears the register by reading it; writes are lost.
    ReadClear,
    /// It writes; all ones are read.
    WriteOnly,
}

impl Access {
    /// The bits that software may change where none are named.
    #[must_use]
    pub const fn all(self) -> u64 {
        match self {
            Self::ReadOnly | Self::ReadClear => 0,
            Self::ReadWrite | Self::WriteOneToClear | Self::WriteOnly => u64::MAX,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::ReadWrite => "read-write",
            Self::WriteOneToClear => "write 1 to clear",
            Self::ReadClear => "read to clear",
            Self::WriteOnly => "write-only",
        }
    }
}

/// A register as it was declared, or several of a kind.
#[derive(Debug, Clone, Copy)]
pub struct Entry<R> {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Offset of the (first) register, bytes.
    pub offset: u64,
    /// Width, bytes: 1, 2, 4 or 8.
    pub width: u32,
    /// What software may do with it.
    pub access: Access,
    /// The bits that software may change.
    pub writable: u64,
    /// Its value after a reset.
    pub reset: u64,
    /// How many there are, 1 at least.
    pub count: u32,
    /// From one to the next, bytes; of no meaning where there is one.
    pub step: u64,
    /// The register of an index.
    pub register: fn(u32) -> R,
}

impl<R> Entry<R> {
    /// The bits that it has.
    #[must_use]
    pub const fn bits(&self) -> u64 {
        if self.width == 8 {
            u64::MAX
        } else {
            (1 << (8 * self.width)) - 1
        }
    }

    const fn start(&self, index: u32) -> u64 {
        self.offset + self.step * index as u64
    }

    const fn end(&self) -> u64 {
        self.start(self.count - 1) + self.width as u64
    }
}

/// A set of registers, declared by [`registers!`](crate::registers).
pub trait RegisterSet: Copy + 'static {
    /// The table.
    const MAP: RegisterMap<Self>;

    /// Which entry of the table a register is, and which one of that kind.
    fn place(self) -> (usize, u32);
}

/// A write of software to one register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write<R> {
    /// The register.
    pub register: R,
    /// What was written; bytes that were not are 0.
    pub value: u64,
    /// The bits that were written.
    pub mask: u64,
}

/// A table of registers.
#[derive(Debug, Clone, Copy)]
pub struct RegisterMap<R: 'static> {
    name: &'static str,
    doc: &'static str,
    entries: &'static [Entry<R>],
}

/// What is at an address.
enum Found<R: 'static> {
    /// A register that begins at `start`.
    Register {
        entry: &'static Entry<R>,
        index: u32,
        start: u64,
    },
    /// Nothing, up to the next register, if there is one.
    Nothing { next: Option<u64> },
}

impl<R: 'static> RegisterMap<R> {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, doc: &'static str, entries: &'static [Entry<R>]) -> Self {
        Self { name, doc, entries }
    }

    /// The registers, as declared.
    #[must_use]
    pub const fn entries(&self) -> &'static [Entry<R>] {
        self.entries
    }

    /// Offset behind the last register, bytes.
    #[must_use]
    pub const fn end(&self) -> u64 {
        let (mut end, mut i) = (0, 0);
        while i < self.entries.len() {
            if self.entries[i].end() > end {
                end = self.entries[i].end();
            }
            i += 1;
        }
        end
    }

    /// Size of the smallest BAR that holds all of them and that a process can
    /// map, bytes.
    #[must_use]
    pub const fn bar_size(&self) -> u64 {
        let end = self.end();
        let end = if end > 4096 { end } else { 4096 };
        end.next_power_of_two()
    }

    /// Ends the compilation where a declaration is impossible.
    #[doc(hidden)]
    pub const fn check(&self) {
        let mut i = 0;
        while i < self.entries.len() {
            let entry = &self.entries[i];
            assert!(entry.count > 0, "a register is there 0 times");
            assert!(
                entry.offset.is_multiple_of(entry.width as u64)
                    && entry.step.is_multiple_of(entry.width as u64),
                "a register is not aligned to its width"
            );
            assert!(
                entry.count == 1 || entry.step >= entry.width as u64,
                "registers of a kind overlap"
            );
            assert!(
                entry.reset & !entry.bits() == 0,
                "a register is reset to more bits than it has"
            );
            assert!(
                entry.writable == entry.access.all() || entry.writable & !entry.bits() == 0,
                "more bits of a register are writable than it has"
            );
            let mut j = 0;
            while j < i {
                assert!(!overlap(entry, &self.entries[j]), "two registers overlap");
                j += 1;
            }
            i += 1;
        }
    }

    fn find(&self, at: u64) -> Found<R> {
        let mut next: Option<u64> = None;
        for entry in self.entries {
            let behind = at.saturating_sub(entry.offset);
            // The last of the kind that does not begin behind `at`.
            let index = behind.checked_div(entry.step).unwrap_or_default();
            let index = u32::try_from(index).map_or(entry.count - 1, |i| i.min(entry.count - 1));
            let start = entry.start(index);
            if at >= start && at - start < u64::from(entry.width) {
                return Found::Register {
                    entry,
                    index,
                    start,
                };
            }
            let later = if at < start {
                Some(start)
            } else {
                (index + 1 < entry.count).then(|| entry.start(index + 1))
            };
            next = match (next, later) {
                (Some(next), Some(later)) => Some(next.min(later)),
                (next, later) => next.or(later),
            };
        }
        Found::Nothing { next }
    }

    /// Calls `act` for each register that a range touches: the register's
    /// entry and index, how many of its bytes are skipped, and the part of the
    /// range that the others are.
    fn each(
        &self,
        offset: u64,
        len: usize,
        mut act: impl FnMut(&'static Entry<R>, u32, usize, std::ops::Range<usize>),
    ) {
        let mut done = 0;
        while done < len {
            let Some(at) = offset.checked_add(done as u64) else {
                return;
            };
            match self.find(at) {
                Found::Register {
                    entry,
                    index,
                    start,
                } => {
                    let skipped = (at - start) as usize;
                    let end = len.min(done + entry.width as usize - skipped);
                    act(entry, index, skipped, done..end);
                    done = end;
                }
                Found::Nothing { next: Some(next) } => {
                    let gap = usize::try_from(next - at).unwrap_or(usize::MAX);
                    done = done.saturating_add(gap);
                }
                Found::Nothing { next: None } => return,
            }
        }
    }

    /// The register that a byte belongs to.
    #[must_use]
    pub fn at(&self, offset: u64) -> Option<R> {
        match self.find(offset) {
            Found::Register { entry, index, .. } => Some((entry.register)(index)),
            Found::Nothing { .. } => None,
        }
    }

    /// Reads any range of bytes: asks for each register it touches, once.
    /// Where there is none, all ones are read.
    pub fn read(&self, offset: u64, data: &mut [u8], mut value: impl FnMut(R) -> u64) {
        data.fill(0xff);
        self.each(offset, data.len(), |entry, index, skipped, range| {
            let bytes = value((entry.register)(index)).to_le_bytes();
            let bytes = bytes.iter().skip(skipped);
            for (to, from) in data.iter_mut().take(range.end).skip(range.start).zip(bytes) {
                *to = *from;
            }
        });
    }

    /// Writes any range of bytes: hands out each register it touches. Where
    /// there is none, the bytes are lost.
    pub fn write(&self, offset: u64, data: &[u8], mut change: impl FnMut(Write<R>)) {
        self.each(offset, data.len(), |entry, index, skipped, range| {
            let (mut value, mut mask) = ([0; 8], [0; 8]);
            let places = value.iter_mut().zip(&mut mask).skip(skipped);
            let bytes = data.iter().take(range.end).skip(range.start);
            for ((value, mask), byte) in places.zip(bytes) {
                (*value, *mask) = (*byte, 0xff);
            }
            change(Write {
                register: (entry.register)(index),
                value: u64::from_le_bytes(value),
                mask: u64::from_le_bytes(mask),
            });
        });
    }

    /// The registers as a table in Markdown, below a heading.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = format!("## {}\n\n", self.name);
        let doc = one_line(self.doc);
        if !doc.is_empty() {
            text += &format!("{doc}\n\n");
        }
        text += "| Offset | Register | Bits | Access | After reset | Meaning |\n\
                 | --- | --- | --- | --- | --- | --- |\n";
        let mut sorted: Vec<_> = self.entries.iter().collect();
        sorted.sort_by_key(|entry| entry.offset);
        for entry in sorted {
            let Entry { name, offset, .. } = entry;
            let (place, name) = if entry.count == 1 {
                (format!("`{offset:#04x}`"), format!("`{name}`"))
            } else {
                (
                    format!("`{offset:#04x} + {:#x} n`", entry.step),
                    format!("`{name}[n]`, n = 0 to {}", entry.count - 1),
                )
            };
            let mut access = entry.access.words().to_owned();
            if entry.writable != entry.access.all() {
                access += &format!(", bits `{:#x}`", entry.writable);
            }
            let reset = match entry.access {
                Access::WriteOnly => String::new(),
                _ => format!("`{:#x}`", entry.reset),
            };
            // A String takes whatever is written to it.
            let _ = writeln!(
                text,
                "| {place} | {name} | {} | {access} | {reset} | {} |",
                8 * entry.width,
                one_line(entry.doc).replace('|', "\\|")
            );
        }
        text
    }
}

fn one_line(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

const fn overlap<R>(a: &Entry<R>, b: &Entry<R>) -> bool {
    if a.end() <= b.offset || b.end() <= a.offset {
        return false;
    }
    let mut i = 0;
    while i < a.count {
        let mut j = 0;
        while j < b.count {
            let (first, second) = (a.start(i), b.start(j));
            if first < second + b.width as u64 && second < first + a.width as u64 {
                return true;
            }
            j += 1;
        }
        i += 1;
    }
    false
}
