// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::thread;

use super::*;
use crate::SharedMemory;

const PAGE: u64 = 0x1000;

/// A page to write at 0x1000, one to read at 0x2000, one without a file at
/// 0x3000.
fn dma() -> Dma {
    let dma = Dma::new();
    dma.set_bus_master(true);
    for (at, writable) in [(PAGE, true), (2 * PAGE, false)] {
        let memory = SharedMemory::new("ram", PAGE).unwrap();
        let file = memory.file().try_clone().unwrap();
        dma.map(GuestAddr(at), PAGE, Some((file, 0)), writable)
            .unwrap();
    }
    dma.map(GuestAddr(3 * PAGE), PAGE, None, true).unwrap();
    dma
}

const WORD: GuestAddr = GuestAddr(PAGE + 8);

#[test]
fn words_are_exchanged_only_where_they_are_what_was_thought() {
    let dma = dma();
    dma.store(WORD, 7_u32).unwrap();
    assert_eq!(dma.compare_exchange(WORD, 7_u32, 9), Ok(Ok(7)));
    assert_eq!(dma.compare_exchange(WORD, 7_u32, 1), Ok(Err(9)));
    assert_eq!(dma.load::<u32>(WORD), Ok(9));
    assert_eq!(dma.fetch_add(WORD, u64::MAX), Ok(9));
    assert_eq!(dma.load::<u64>(WORD), Ok(8), "around its limit");
    let mut bytes = [0; 8];
    dma.read(WORD, &mut bytes).unwrap();
    assert_eq!(bytes, 8_u64.to_le_bytes());
}

#[test]
fn additions_of_many_threads_all_count() {
    let dma = dma();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    dma.fetch_add(WORD, 1_u32).unwrap();
                }
            });
        }
    });
    assert_eq!(dma.load::<u32>(WORD), Ok(4000));
}

#[test]
fn a_word_that_cannot_be_accessed_says_why() {
    let dma = dma();
    let add = |at| dma.fetch_add(GuestAddr(at), 1_u32).unwrap_err();
    let addr = GuestAddr;
    assert_eq!(
        add(PAGE + 2),
        DmaError::Misaligned {
            addr: addr(PAGE + 2)
        }
    );
    assert_eq!(
        add(2 * PAGE),
        DmaError::ReadOnly {
            addr: addr(2 * PAGE)
        }
    );
    assert_eq!(
        add(3 * PAGE),
        DmaError::NoFd {
            addr: addr(3 * PAGE)
        }
    );
    assert_eq!(
        add(9 * PAGE),
        DmaError::NotMapped {
            addr: addr(9 * PAGE)
        }
    );
    assert!(dma.load::<u32>(addr(2 * PAGE)).is_ok());
    assert!(matches!(
        dma.load::<u64>(addr(u64::MAX - 7)),
        Err(DmaError::Overflow { .. } | DmaError::NotMapped { .. })
    ));
    dma.set_bus_master(false);
    assert_eq!(add(PAGE), DmaError::BusMasterOff { addr: addr(PAGE) });
}

#[test]
fn a_list_is_gathered_and_scattered_in_its_order() {
    let dma = dma();
    let segment = |at, len| Segment {
        addr: GuestAddr(PAGE + at),
        len,
    };
    let list = [segment(0x100, 3), segment(0x20, 0), segment(0x10, 4)];
    assert_eq!(Segment::total(&list), 7);
    assert_eq!(
        dma.scatter(&list, b"abcdefghi"),
        Ok(7),
        "there is room for 7"
    );
    let mut data = [0; 5];
    assert_eq!(dma.gather(&list, &mut data), Ok(5));
    assert_eq!(&data, b"abcde");
    let mut second = [0; 4];
    dma.read(GuestAddr(PAGE + 0x10), &mut second).unwrap();
    assert_eq!(&second, b"defg");
    let outside = [segment(0, 1), segment(8 * PAGE, 1)];
    let addr = GuestAddr(9 * PAGE);
    assert_eq!(
        dma.scatter(&outside, b"ab"),
        Err(DmaError::NotMapped { addr })
    );
}

#[test]
fn a_structure_is_read_as_it_was_written() {
    let dma = dma();
    dma.write_value(WORD, &[1_u16, 2, 3]).unwrap();
    assert_eq!(dma.read_value::<[u16; 3]>(WORD), Ok([1, 2, 3]));
    assert!(dma.read_value::<[u8; 64]>(GuestAddr(3 * PAGE)).is_err());
}
