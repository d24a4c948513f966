// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The payload that the harness sends when it wants the receiver to check
//! every byte: a function of the event's sequence number alone.

/// Word `index` of the pattern of event `seq` (the finaliser of splitmix64).
const fn word(seq: u64, index: u64) -> u64 {
    let mut z = seq
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(index.wrapping_mul(0xd1b5_4a32_d192_ed03));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Fills a payload with the pattern of event `seq`.
pub fn fill(seq: u64, payload: &mut [u8]) {
    for (index, chunk) in payload.chunks_mut(8).enumerate() {
        let bytes = word(seq, index as u64).to_le_bytes();
        chunk.copy_from_slice(&bytes[..chunk.len()]);
    }
}

/// Whether a payload is the pattern of event `seq`, whatever its length.
#[must_use]
pub fn matches(seq: u64, payload: &[u8]) -> bool {
    payload.chunks(8).enumerate().all(|(index, chunk)| {
        let bytes = word(seq, index as u64).to_le_bytes();
        *chunk == bytes[..chunk.len()]
    })
}
