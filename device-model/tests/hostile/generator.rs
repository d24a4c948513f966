// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Messages that nobody in their right mind would send: of every command, with
//! numbers at the edges; bent, cut, or made of nothing but chance.

use std::{fs::File, os::fd::OwnedFd};

use device_model::vfio_user::{HEADER_SIZE, Header, MAX_DATA, MAX_MESSAGE};
use fastrand::Rng;
use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{MemfdFlags, ftruncate, memfd_create},
};
use zerocopy::IntoBytes;

/// Commands that exist, and one more on either side.
const COMMANDS: u16 = 20;
const EDGES: [u32; 30] = [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    15,
    16,
    17,
    20,
    24,
    31,
    32,
    33,
    36,
    40,
    64,
    255,
    4095,
    4096,
    4097,
    MAX_DATA,
    MAX_DATA + 1,
    i32::MAX as u32,
    i32::MAX as u32 + 1,
    u32::MAX,
];
const JSON: [&str; 12] = [
    "{}",
    "{\"capabilities\":{}}",
    "{\"capabilities\":{\"max_msg_fds\":16,\"write_multiple\":true}}",
    "{\"capabilities\":{\"max_data_xfer_size\":1}}",
    "{\"capabilities\":{\"max_data_xfer_size\":18446744073709551615}}",
    "{\"capabilities\":{\"max_msg_fds\":1e400}}",
    "{\"capabilities\":[[[[[[[[]]]]]]]]}",
    "{\"capabilities\":null}",
    "[]",
    "\u{0}",
    "{\"a\":\"\\ud800\"}",
    "{\"capabilities\":{\"pgsizes\":-0}}",
];

/// Descriptors that may be passed, open once.
pub struct Files(Vec<File>);

impl Files {
    pub fn open() -> Self {
        let memory: OwnedFd = memfd_create("hostile", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&memory, 1 << 20).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        Self(vec![
            memory.into(),
            eventfd(0, EventfdFlags::empty()).unwrap().into(),
            File::open("/dev/null").unwrap(),
            File::open("/").unwrap(),
            OwnedFd::from(reader).into(),
            OwnedFd::from(writer).into(),
        ])
    }

    /// Any `count` of them; memory and eventfds more often.
    pub fn pick(&self, rng: &mut Rng, count: usize) -> Vec<&File> {
        let mut pick = || {
            let most = if rng.bool() { 2 } else { self.0.len() };
            rng.usize(..most)
        };
        let picked: Vec<_> = (0..count).map(|_| pick()).collect();
        picked.iter().filter_map(|file| self.0.get(*file)).collect()
    }
}

/// How many descriptors go with a message.
pub fn count_fds(rng: &mut Rng) -> usize {
    match rng.u8(..) {
        0..240 => 0,
        240..250 => 1,
        250..254 => rng.usize(1..=16),
        _ => rng.usize(17..=40),
    }
}

fn number(rng: &mut Rng) -> u32 {
    match rng.u8(..8) {
        0..5 => *rng.choice(&EDGES).unwrap(),
        5 => rng.u32(..64),
        6 => rng.u32(..0x2000),
        _ => rng.u32(..),
    }
}

fn long(rng: &mut Rng) -> u64 {
    match rng.u8(..8) {
        0..5 => number(rng).into(),
        5 => u64::MAX - u64::from(number(rng)),
        6 => u64::from(rng.u8(..16)) << 12,
        _ => rng.u64(..),
    }
}

fn words(rng: &mut Rng, count: usize) -> Vec<u8> {
    let words: Vec<u32> = (0..count).map(|_| number(rng)).collect();
    words.as_bytes().to_vec()
}

/// An access to a region; long ones are rare, or there were no time for others.
fn access(rng: &mut Rng) -> (Vec<u8>, u32) {
    let region = if rng.u8(..16) == 0 {
        number(rng)
    } else {
        rng.u32(..9)
    };
    let offset = match rng.u8(..8) {
        0..6 => u64::from(rng.u32(..0x100)) << rng.u8(..3),
        6 => u64::from(rng.u32(..0x2000)),
        _ => long(rng),
    };
    let count = match rng.u16(..4096) {
        0 => MAX_DATA,
        1..100 => number(rng).max(MAX_DATA + 1),
        100..200 => rng.u32(..5000),
        _ => 1 << rng.u8(..4),
    };
    (
        [offset.as_bytes(), region.as_bytes(), count.as_bytes()].concat(),
        count,
    )
}

fn write(rng: &mut Rng) -> Vec<u8> {
    let (access, count) = access(rng);
    let count = count.min(MAX_DATA) as usize;
    let data = match rng.u8(..4) {
        0 => vec![0xff; count],
        1 => {
            let page = u32::from(rng.u8(..16)) << 12;
            page.to_ne_bytes().into_iter().cycle().take(count).collect()
        }
        _ => vec![1; count],
    };
    [access, data].concat()
}

fn writes(rng: &mut Rng) -> Vec<u8> {
    let count = rng.u64(..6);
    let mut body = count.as_bytes().to_vec();
    for _ in 0..count {
        body.extend(access(rng).0);
        body.extend(words(rng, 2));
    }
    body
}

/// The body of a command, as long as it should be.
fn body(rng: &mut Rng, command: u16) -> Vec<u8> {
    match command {
        1 => {
            let json = *rng.choice(&JSON).unwrap();
            [b"\0\0\0\0", json.as_bytes(), b"\0"].concat()
        }
        2 | 3 => {
            let any = number(rng);
            let flags = *rng.choice(&[0, 1, 2, 3, 3, 3, any]).unwrap();
            let longs: Vec<u64> = (0..5 - command).map(|_| long(rng)).collect();
            let pages: Vec<u64> = longs.iter().map(|long| long & !0xfff).collect();
            let longs = if rng.bool() { longs } else { pages };
            [[32, flags].as_bytes(), longs.as_bytes()].concat()
        }
        4 | 6 | 7 => words(rng, 4),
        5 => words(rng, 8),
        8 => {
            let flags = 1 << rng.u8(..3) | 8 << rng.u8(..3);
            let (index, start, count) = (rng.u32(..6), rng.u32(..5), rng.u32(..34));
            let bools = if flags & 2 == 0 { 0 } else { count };
            let head = [20 + bools, flags, index, start, count];
            [head.as_bytes(), &vec![rng.u8(..2); bools as usize]].concat()
        }
        9 => access(rng).0,
        10 => write(rng),
        13 => Vec::new(),
        15 => writes(rng),
        _ => {
            let count = rng.usize(..8);
            words(rng, count)
        }
    }
}

/// A message, most often as long as it says.
pub fn message(rng: &mut Rng) -> Vec<u8> {
    let command = match rng.u8(..16) {
        0 => rng.u16(..),
        // Most of what there is to break is behind accesses.
        1..6 => *rng.choice(&[9, 10, 15, 8]).unwrap(),
        _ => rng.u16(..COMMANDS),
    };
    let flags = match rng.u8(..32) {
        0 => number(rng),
        1 => 1,
        2 => 0x21,
        3 => 2,
        4..7 => 0x10,
        _ => 0,
    };
    let body = body(rng, command);
    let header = Header {
        // The upper half is for valid requests.
        id: rng.u16(..0x8000),
        command,
        size: (HEADER_SIZE + body.len()) as u32,
        flags,
        error: if rng.u8(..16) == 0 { number(rng) } else { 0 },
    };
    let mut message = [header.as_bytes(), &body].concat();
    if rng.u8(..4) == 0 {
        mutate(rng, &mut message);
    }
    message
}

/// Bends a message here and there. Whether it still says its length is a matter
/// of chance.
pub fn mutate(rng: &mut Rng, message: &mut Vec<u8>) {
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(..message.len().max(1));
        match rng.u8(..6) {
            0 => flip(message, at, 1 << rng.u8(..8)),
            1 => flip(message, at, rng.u8(..)),
            2 => message.truncate(at),
            3 => message.extend(words(rng, 2)),
            4 => {
                let word = number(rng).to_ne_bytes();
                let places = message.iter_mut().skip(at & !3);
                places.zip(word).for_each(|(place, byte)| *place = byte);
            }
            _ => {
                let bytes: Vec<u8> = message.iter().skip(at).take(16).copied().collect();
                let to = rng.usize(..message.len().max(1));
                let places = message.iter_mut().skip(to);
                places.zip(bytes).for_each(|(place, byte)| *place = byte);
            }
        }
    }
    // Enters the length anew, but for the few that are to be wrong.
    let size = (message.len() as u32).to_ne_bytes();
    if rng.u8(..8) != 0
        && let Some(field) = message.get_mut(4..8)
    {
        field.copy_from_slice(&size);
    }
    if let Some(id) = message.get_mut(1) {
        *id &= 0x7f;
    }
}

fn flip(message: &mut [u8], at: usize, bits: u8) {
    if let Some(byte) = message.get_mut(at) {
        *byte ^= bits;
    }
}

/// Fills up the last message of a stream, so that the next one is seen as one.
/// `true` where a length is met that ends the connection.
pub fn complete(stream: &mut Vec<u8>) -> bool {
    let mut at = 0;
    while at < stream.len() {
        stream.resize(stream.len().max(at + HEADER_SIZE), 0);
        let size = Header::read(&stream[at..]).unwrap().size as usize;
        if !(HEADER_SIZE..=MAX_MESSAGE).contains(&size) {
            return true;
        }
        at += size;
        stream.resize(stream.len().max(at), 0);
    }
    false
}
