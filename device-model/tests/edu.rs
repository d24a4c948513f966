// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The educational device, as its documented drivers use it.

mod common;

use common::{
    RAM_AT,
    board::{Board, INTX, MSI, wait},
};
use device_model::edu::EduDevice;

const IDENTIFICATION: u64 = 0x00;
const LIVENESS: u64 = 0x04;
const FACTORIAL: u64 = 0x08;
const STATUS: u64 = 0x20;
const IRQ_STATUS: u64 = 0x24;
const IRQ_RAISE: u64 = 0x60;
const IRQ_ACKNOWLEDGE: u64 = 0x64;
const DMA_SOURCE: u64 = 0x80;
const DMA_DESTINATION: u64 = 0x88;
const DMA_COUNT: u64 = 0x90;
const DMA_COMMAND: u64 = 0x98;
const BUFFER: u64 = 0x4_0000;

fn edu() -> Board {
    Board::with(EduDevice::new())
}

/// Starts a transfer and waits for its end.
fn transfer(board: &mut Board, source: u64, destination: u64, count: u64, command: u64) {
    board.write_wide(0, DMA_SOURCE, source);
    board.write_wide(0, DMA_DESTINATION, destination);
    board.write_wide(0, DMA_COUNT, count);
    board.write_wide(0, DMA_COMMAND, command | 1);
    assert_eq!(board.read(0, DMA_COMMAND), command as u32 | 1);
    // Nothing changes meanwhile.
    board.write_wide(0, DMA_COUNT, 1);
    wait("the end of the transfer", || {
        board.read(0, DMA_COMMAND) & 1 == 0
    });
    assert_eq!(board.read(0, DMA_COUNT), count as u32);
}

#[test]
fn it_presents_itself_as_qemu_s_device_does() {
    let mut board = edu();
    assert_eq!(board.config(0), 0x11e8_1234);
    assert_eq!(board.config(8), 0x00ff_0010);
    assert_eq!(board.config(0x2c), 0x1100_1af4);
    assert_eq!(board.config(0x3c) >> 8, 1);
    assert_eq!(board.client.region(0).unwrap().size, 1 << 20);
    assert_eq!(board.client.get_irq_info(MSI).unwrap().count, 1);
    assert_eq!(board.client.get_irq_info(INTX).unwrap().count, 1);
    assert_eq!(board.read(0, IDENTIFICATION), 0x0100_00ed);
    board.write(0, IDENTIFICATION, 0);
    assert_eq!(board.read(0, IDENTIFICATION), 0x0100_00ed);
}

#[test]
fn it_is_alive() {
    let mut board = edu();
    for value in [0, 1, 0x1234_5678, u32::MAX] {
        board.write(0, LIVENESS, value);
        assert_eq!(board.read(0, LIVENESS), !value);
    }
}

#[test]
fn accesses_that_it_does_not_know_find_nothing() {
    let mut board = edu();
    for offset in [
        0x0c,
        0x1c,
        0x28,
        IRQ_RAISE,
        IRQ_ACKNOWLEDGE,
        0x84,
        0xa0,
        BUFFER,
    ] {
        assert_eq!(board.read(0, offset), u32::MAX, "{offset:#x}");
    }
    let mut wide = [0; 8];
    board.client.region_read(0, 0, &mut wide).unwrap();
    assert_eq!(wide, [0xff; 8]);
    // QEMU does not let accesses of less than 4 bytes through to its device.
    for (offset, len) in [
        (IDENTIFICATION, 1),
        (IDENTIFICATION, 2),
        (2, 2),
        (3, 1),
        (2, 4),
    ] {
        let mut part = [0xaa; 4];
        board
            .client
            .region_read(0, offset, &mut part[..len])
            .unwrap();
        assert_eq!(part[..len], [0; 4][..len], "{len} bytes at {offset:#x}");
    }
    board.client.region_write(0, LIVENESS, &[1, 2]).unwrap();
    assert_eq!(board.read(0, LIVENESS), 0);
    board.write_wide(0, DMA_SOURCE, u64::MAX);
    board.write(0, DMA_SOURCE, 5);
    board.client.region_read(0, DMA_SOURCE, &mut wide).unwrap();
    assert_eq!(u64::from_le_bytes(wide), 5, "4 bytes are all of it");
}

#[test]
fn a_factorial_is_computed_and_waited_for() {
    let mut board = edu();
    board.write(0, FACTORIAL, 10);
    assert_eq!(board.read(0, STATUS) & 1, 1);
    board.write(0, FACTORIAL, 3);
    wait("the factorial", || board.read(0, STATUS) & 1 == 0);
    assert_eq!(board.read(0, FACTORIAL), 3_628_800, "the second was lost");
    assert_eq!(board.read(0, IRQ_STATUS), 0);
}

#[test]
fn a_factorial_interrupts_over_the_line_until_it_is_acknowledged() {
    let mut board = edu();
    board.enable(INTX, 1);
    board.write(0, STATUS, 0xff);
    assert_eq!(board.read(0, STATUS), 0x80);
    board.write(0, FACTORIAL, 5);
    board.wait_interrupt(0);
    assert_eq!(board.read(0, FACTORIAL), 120);
    assert_eq!(board.read(0, IRQ_STATUS), 1);
    board.unmask_intx();
    board.wait_interrupt(0);
    board.write(0, IRQ_ACKNOWLEDGE, 1);
    assert_eq!(board.read(0, IRQ_STATUS), 0);
    board.unmask_intx();
    assert_eq!(board.interrupts(0), 0);
}

#[test]
fn an_interrupt_is_raised_and_acknowledged_bit_by_bit() {
    for kind in [INTX, MSI] {
        let mut board = edu();
        board.enable(kind, 1);
        board.write(0, IRQ_RAISE, 0x6);
        assert_eq!(board.interrupts(0), 1);
        assert_eq!(board.read(0, IRQ_STATUS), 6);
        board.write(0, IRQ_ACKNOWLEDGE, 2);
        assert_eq!(board.read(0, IRQ_STATUS), 4);
        board.write(0, IRQ_ACKNOWLEDGE, 4);
        assert_eq!(board.read(0, IRQ_STATUS), 0);
        if kind == INTX {
            board.unmask_intx();
        }
        assert_eq!(board.interrupts(0), 0);
        board.write(0, IRQ_RAISE, 0);
        assert_eq!(board.interrupts(0), 0, "no bit, no interrupt");
    }
}

#[test]
fn bytes_go_to_the_buffer_and_come_back() {
    let mut board = edu();
    board.enable(MSI, 1);
    let bytes: Vec<u8> = (0..=255).cycle().take(4096).collect();
    board.set_memory(RAM_AT, &bytes);
    transfer(&mut board, RAM_AT, BUFFER, 4096, 0);
    assert_eq!(board.interrupts(0), 0, "it was not asked to");
    transfer(&mut board, BUFFER + 96, RAM_AT + 0x2000, 4000, 2 | 4);
    board.wait_interrupt(0);
    assert_eq!(board.read(0, IRQ_STATUS), 0x100);
    assert_eq!(board.memory(RAM_AT + 0x2000, 4000), bytes[96..]);
    assert_eq!(board.memory(RAM_AT + 0x2000 + 4000, 1), [0]);
}

#[test]
fn addresses_are_cut_to_28_bits() {
    let mut board = edu();
    board.set_memory(RAM_AT, b"reached");
    transfer(&mut board, RAM_AT | 1 << 28, BUFFER, 7, 0);
    transfer(&mut board, BUFFER, (RAM_AT + 64) | 0xffff << 28, 7, 2);
    assert_eq!(board.memory(RAM_AT + 64, 7), b"reached");
    let wider = EduDevice::new().dma_mask(u64::MAX);
    let failed = wider.failed_transfers();
    let mut board = Board::with(wider);
    transfer(&mut board, RAM_AT | 1 << 28, BUFFER, 7, 0);
    assert_eq!(failed.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn a_transfer_outside_the_buffer_or_memory_ends_and_is_counted() {
    let device = EduDevice::new();
    let failed = device.failed_transfers();
    let mut board = Board::with(device);
    board.enable(MSI, 1);
    for (n, (source, destination, count, command)) in [
        (RAM_AT, BUFFER, 4097, 0),
        (RAM_AT, BUFFER - 1, 1, 0),
        (BUFFER + 4096, RAM_AT, 1, 2),
        (BUFFER, RAM_AT, u64::MAX, 2),
        (u64::MAX, RAM_AT, 2, 2),
        (0, BUFFER, 16, 0),
    ]
    .into_iter()
    .enumerate()
    {
        transfer(&mut board, source, destination, count, command | 4);
        board.wait_interrupt(0);
        board.write(0, IRQ_ACKNOWLEDGE, 0x100);
        let counted = failed.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(counted, n as u64 + 1);
    }
    board.set_memory(RAM_AT, b"on");
    transfer(&mut board, RAM_AT, BUFFER, 2, 0);
    transfer(&mut board, BUFFER, RAM_AT + 8, 2, 2);
    assert_eq!(board.memory(RAM_AT + 8, 2), b"on");
}

#[test]
fn a_reset_ends_what_runs() {
    let mut board = edu();
    board.enable(MSI, 1);
    board.write(0, STATUS, 0x80);
    board.write(0, FACTORIAL, 5);
    board.write_wide(0, DMA_COMMAND, 1 | 4);
    board.client.reset().unwrap();
    // Computing takes a millisecond, and the reset of a client that was held up comes later.
    assert!(board.interrupts(0) <= 1);
    assert_eq!(board.read(0, STATUS), 0);
    assert_eq!(board.read(0, DMA_COMMAND), 0);
    std::thread::sleep(std::time::Duration::from_millis(120));
    assert_eq!((board.interrupts(0), board.read(0, IRQ_STATUS)), (0, 0));
}

#[test]
fn the_mapped_copy_says_what_the_registers_say() {
    let mut board = Board::with(EduDevice::new().mapped().unwrap());
    assert_eq!(board.client.region(2).unwrap().size, 4096);
    let file = board
        .client
        .region(2)
        .unwrap()
        .file_offset
        .as_ref()
        .unwrap();
    let file = file.file().try_clone().unwrap();
    let mapped = |offset| {
        let mut bytes = [0; 4];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, offset).unwrap();
        u32::from_le_bytes(bytes)
    };
    assert_eq!(mapped(IDENTIFICATION), 0x0100_00ed);
    board.write(0, LIVENESS, 0x1234_5678);
    board.write(0, FACTORIAL, 6);
    assert_eq!(mapped(LIVENESS), !0x1234_5678);
    wait("the factorial", || mapped(STATUS) & 1 == 0);
    assert_eq!(mapped(FACTORIAL), 720);
    board.write(0, IRQ_RAISE, 9);
    for offset in (0..0xa0)
        .step_by(4)
        .filter(|offset| offset % 8 == 0 || *offset < 0x80)
    {
        assert_eq!(mapped(offset), board.read(0, offset), "{offset:#x}");
    }
}
