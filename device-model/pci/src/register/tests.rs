// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::*;
use crate::SharedMemory;

registers! {
    /// Registers of every kind.
    enum Test {
        /// Who it is.
        Id @ 0x00: u32, ReadOnly = 0x0403_0201;
        /// Half | half.
        Control @ 0x04: u16, ReadWrite & 0x0fff = 0x0800;
        /// A byte.
        Byte @ 0x06: u8, ReadWrite;
        /// What happened.
        Status @ 0x08: u32, WriteOneToClear;
        /// How often.
        Count @ 0x0c: u32, ReadClear;
        /// Rung.
        Bell[4 step 16] @ 0x20: u32, WriteOnly;
        /// Between the bells.
        Address[4 step 16] @ 0x28: u64, ReadWrite;
    }
}

fn read(registers: &mut Registers<Test>, offset: u64, len: usize) -> Vec<u8> {
    let mut data = vec![0; len];
    Test::read(offset, &mut data, |register| registers.read(register));
    data
}

fn writes(offset: u64, data: &[u8]) -> Vec<Write<Test>> {
    let mut writes = Vec::new();
    Test::write(offset, data, |write| writes.push(write));
    writes
}

fn write(registers: &mut Registers<Test>, offset: u64, data: &[u8]) {
    Test::write(offset, data, |write| {
        registers.write(write);
    });
}

#[test]
fn an_access_of_any_shape_is_taken_apart() {
    let mut registers = Registers::new();
    assert_eq!(read(&mut registers, 1, 4), [2, 3, 4, 0x00]);
    let wide = read(&mut registers, 0, 8);
    assert_eq!(wide, [1, 2, 3, 4, 0x00, 0x08, 0x00, 0xff], "7 is nowhere");
    assert_eq!(read(&mut registers, 0x1000, 4), [0xff; 4]);
    assert_eq!(read(&mut registers, u64::MAX - 1, 4), [0xff; 4]);
    assert_eq!(read(&mut registers, 0x20, 4), [0xff; 4], "write-only");
    let seen = writes(0x2e, &[1, 2, 3, 4, 5, 6]);
    let expected = [
        (Test::Address(0), 0x0201 << 48, 0xffff << 48),
        (Test::Bell(1), 0x0605_0403, 0xffff_ffff),
    ];
    let expected = expected.map(|(register, value, mask)| Write {
        register,
        value,
        mask,
    });
    assert_eq!(seen, expected);
    assert_eq!(writes(0x07, &[1]), []);
    assert_eq!(writes(0x60, &[1; 64]), []);
}

#[test]
fn software_changes_what_it_may() {
    let mut registers = Registers::new();
    write(&mut registers, 0, &[0xff; 4]);
    assert_eq!(registers.get(Test::Id), 0x0403_0201);
    write(&mut registers, 4, &[0x34]);
    write(&mut registers, 5, &[0xf2]);
    assert_eq!(registers.get(Test::Control), 0x0234);
    registers.set(Test::Status, 0b1111);
    write(&mut registers, 8, &[0b0101, 0, 0, 0]);
    assert_eq!(registers.get(Test::Status), 0b1010);
    registers.set(Test::Count, 3);
    write(&mut registers, 0xc, &[9; 4]);
    assert_eq!(read(&mut registers, 0xc, 1), [3]);
    assert_eq!(read(&mut registers, 0xc, 4), [0; 4], "it was read");
    let mut rung = Vec::new();
    Test::write(0x30, &[7, 0, 0, 0], |write| {
        rung.push((write.register, registers.write(write)));
    });
    assert_eq!(rung, [(Test::Bell(1), 7)]);
    assert_eq!(registers.get(Test::Bell(1)), 0, "nothing is kept");
    registers.reset();
    assert_eq!(registers.get(Test::Control), 0x0800);
}

#[test]
fn an_index_that_there_is_not_is_nothing() {
    let mut registers = Registers::new();
    registers.set(Test::Address(4), 1);
    assert_eq!(registers.get(Test::Address(4)), 0);
    assert_eq!(registers.read(Test::Address(u32::MAX)), u64::MAX);
}

#[test]
fn a_mirror_says_what_a_trap_would() {
    let memory = SharedMemory::new("mirror", 4096).unwrap();
    let mut registers = Registers::<Test>::new().mirrored(memory.clone());
    registers.set(Test::Address(3), 0x1234_5678_9abc_def0);
    write(&mut registers, 4, &[0x34, 0x02]);
    for offset in [0, 4, 8, 0x10, 0x20, 0x58, 0x5c, 0x60, 4092] {
        let trapped = read(&mut registers, offset, 4);
        let mapped = memory.load_u32(offset as usize, Ordering::Acquire);
        assert_eq!(trapped, mapped.to_le_bytes(), "{offset:#x}");
    }
    registers.reset();
    assert_eq!(memory.load_u64(0x58, Ordering::Acquire), 0);
}

#[test]
fn the_table_says_what_was_declared() {
    let table = Test::MAP.to_markdown();
    for line in [
        "## Test",
        "Registers of every kind.",
        "| `0x00` | `Id` | 32 | read-only | `0x4030201` | Who it is. |",
        "| `0x04` | `Control` | 16 | read-write, bits `0xfff` | `0x800` | Half \\| half. |",
        "| `0x20 + 0x10 n` | `Bell[n]`, n = 0 to 3 | 32 | write-only |  | Rung. |",
    ] {
        assert!(table.lines().any(|found| found == line), "{line}\n{table}");
    }
    assert_eq!((Test::MAP.end(), Test::MAP.bar_size()), (0x60, 4096));
}

proptest! {
    #[test]
    fn every_byte_is_the_one_that_an_access_of_one_byte_finds(
        offset in prop_oneof![0_u64..0x80, Just(u64::MAX - 3)],
        len in 0_usize..0x90,
    ) {
        let mut registers = Registers::new();
        registers.set(Test::Address(2), 0x0102_0304_0506_0708);
        let all = read(&mut registers, offset, len);
        for (at, byte) in (0..).zip(all) {
            let Some(at) = offset.checked_add(at) else { break };
            prop_assert_eq!(read(&mut registers, at, 1), [byte]);
        }
    }

    #[test]
    fn a_write_in_pieces_is_the_write_in_one(
        data in prop::collection::vec(any::<u8>(), 0..0x70),
        offset in 0_u64..0x70,
        cut in any::<prop::sample::Index>(),
    ) {
        let (mut whole, mut pieces) = (Registers::new(), Registers::new());
        write(&mut whole, offset, &data);
        let (first, second) = data.split_at(cut.index(data.len() + 1));
        write(&mut pieces, offset, first);
        write(&mut pieces, offset + first.len() as u64, second);
        for register in [Test::Control, Test::Byte, Test::Status, Test::Address(1)] {
            prop_assert_eq!(whole.get(register), pieces.get(register));
        }
    }
}
