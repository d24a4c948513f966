// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Conditional jumps.

/// One, and the two ways it can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Jump {
    /// Its address.
    pub address: u64,
    /// That of the instruction behind it.
    pub next: u64,
    /// Where it jumps to.
    pub target: u64,
}

impl Jump {
    /// `Jcc` with a displacement of 8 or 32 bits, also behind a branch hint (Intel SDM, volume
    /// 2, appendix A); `None` for another instruction.
    pub fn of(address: u64, code: &[u8]) -> Option<Self> {
        let operation = match code {
            [0x2e | 0x3e, rest @ ..] => rest,
            _ => code,
        };
        let displacement = match operation {
            [0x70..=0x7f, near] => i64::from(near.cast_signed()),
            [0x0f, 0x80..=0x8f, far @ ..] => i64::from(i32::from_le_bytes(far.try_into().ok()?)),
            _ => return None,
        };
        let next = address.wrapping_add(code.len() as u64);
        Some(Self {
            address,
            next,
            target: next.wrapping_add_signed(displacement),
        })
    }
}
