// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The network card in miniature, as a driver of it works.

mod common;

use common::{
    RAM_AT,
    board::{Board, MSIX},
};
use device_model::nic_lite::{DONE, Descriptor, MAX_PACKET, MORE, NicLite, QUEUES, TRUNCATED};
use zerocopy::{
    FromBytes, IntoBytes,
    little_endian::{U32, U64},
};

const CONTROL: u64 = 0x04;
const INTERRUPTS: u64 = 0x08;
const ERRORS: u64 = 0x0c;
const TX_RING: u64 = 0x100;
const RX_RING: u64 = 0x108;
const TX_SIZE: u64 = 0x110;
const RX_SIZE: u64 = 0x114;
const TX_HEAD: u64 = 0x118;
const RX_HEAD: u64 = 0x11c;
const DROPPED: u64 = 0x120;
const TX_DOORBELL: u64 = 0x1000;
const RX_DOORBELL: u64 = 0x1004;

/// Descriptors of each ring.
const SIZE: u32 = 4;
/// Where the rings and buffers of a queue lie.
const TX_AT: u64 = RAM_AT;
const RX_AT: u64 = RAM_AT + 0x1000;
const PACKETS_AT: u64 = RAM_AT + 0x1_0000;
const BUFFERS_AT: u64 = RAM_AT + 0x4_0000;
/// Distance between buffers.
const BUFFER: u64 = 0x1000;

struct Driver {
    board: Board,
    queue: u32,
}

impl Driver {
    /// A driver of one queue, with every vector connected.
    fn of(queue: u32) -> Self {
        let mut board = Board::with(NicLite::new());
        board.enable(MSIX, QUEUES);
        board.write(0, CONTROL, 1);
        board.write(0, INTERRUPTS, 0xf);
        let mut driver = Self { board, queue };
        driver.set(TX_RING, TX_AT as u32);
        driver.set(RX_RING, RX_AT as u32);
        driver.set(TX_SIZE, SIZE);
        driver.set(RX_SIZE, SIZE);
        driver
    }

    fn set(&mut self, register: u64, value: u32) {
        let at = register + 0x40 * u64::from(self.queue);
        self.board.write(0, at, value);
    }

    fn get(&mut self, register: u64) -> u32 {
        let at = register + 0x40 * u64::from(self.queue);
        self.board.read(0, at)
    }

    fn bell(&mut self, register: u64, tail: u32) {
        let at = register + 8 * u64::from(self.queue);
        self.board.write(0, at, tail);
    }

    fn descriptor(&self, ring: u64, index: u32) -> Descriptor {
        let at = ring + 16 * u64::from(index % SIZE);
        Descriptor::read_from_bytes(&self.board.memory(at, 16)).unwrap()
    }

    fn set_descriptor(&self, ring: u64, index: u32, address: u64, length: usize, flags: u32) {
        let descriptor = Descriptor {
            address: U64::new(address),
            length: U32::new(length as u32),
            flags: U32::new(flags),
        };
        let at = ring + 16 * u64::from(index % SIZE);
        self.board.set_memory(at, descriptor.as_bytes());
    }

    /// Gives the card a buffer.
    fn give(&mut self, index: u32, len: usize) {
        let address = BUFFERS_AT + BUFFER * u64::from(index % SIZE);
        self.set_descriptor(RX_AT, index, address, len, 0);
        self.bell(RX_DOORBELL, index.wrapping_add(1));
    }

    /// Fills a descriptor to send, without ringing.
    fn fill(&self, index: u32, bytes: &[u8], flags: u32) {
        let address = PACKETS_AT + BUFFER * u64::from(index % SIZE);
        self.board.set_memory(address, bytes);
        self.set_descriptor(TX_AT, index, address, bytes.len(), flags);
    }

    fn send(&mut self, index: u32, bytes: &[u8]) {
        self.fill(index, bytes, 0);
        self.bell(TX_DOORBELL, index.wrapping_add(1));
    }

    /// What was received to a descriptor.
    fn received(&self, index: u32) -> (u32, Vec<u8>) {
        let descriptor = self.descriptor(RX_AT, index);
        let len = descriptor.length.get() as usize;
        let bytes = self.board.memory(descriptor.address.get(), len);
        (descriptor.flags.get(), bytes)
    }

    fn interrupts(&self) -> u64 {
        self.board.interrupts(self.queue as usize)
    }
}

#[test]
fn what_a_queue_sends_it_receives_through_many_laps() {
    for queue in 0..QUEUES {
        let mut driver = Driver::of(queue);
        for n in 0..3 * SIZE + 1 {
            driver.give(n, 64);
            let packet = format!("packet {n} of queue {queue}");
            driver.send(n, packet.as_bytes());
            assert_eq!(driver.received(n), (DONE, packet.into_bytes()));
            assert_eq!(driver.descriptor(TX_AT, n).flags.get(), DONE);
            assert_eq!((driver.get(TX_HEAD), driver.get(RX_HEAD)), (n + 1, n + 1));
            assert_eq!(driver.interrupts(), 1);
        }
        let others = (0..QUEUES as usize).filter(|other| *other != queue as usize);
        assert!(others.into_iter().all(|q| driver.board.interrupts(q) == 0));
    }
}

#[test]
fn one_ring_of_the_bell_sends_all_and_interrupts_once() {
    let mut driver = Driver::of(1);
    for n in 0..SIZE {
        driver.give(n, 64);
        driver.fill(n, &[n as u8; 10], 0);
    }
    driver.bell(TX_DOORBELL, SIZE);
    assert_eq!(driver.interrupts(), 1);
    for n in 0..SIZE {
        assert_eq!(driver.received(n), (DONE, vec![n as u8; 10]));
    }
}

#[test]
fn a_packet_in_pieces_arrives_whole_once_all_of_it_is_there() {
    let mut driver = Driver::of(0);
    driver.give(0, 64);
    driver.fill(0, b"from here ", MORE);
    driver.bell(TX_DOORBELL, 1);
    assert_eq!((driver.get(TX_HEAD), driver.interrupts()), (0, 0));
    driver.fill(1, b"to there", 0);
    driver.bell(TX_DOORBELL, 2);
    assert_eq!(driver.received(0), (DONE, b"from here to there".to_vec()));
    assert_eq!((driver.get(TX_HEAD), driver.get(RX_HEAD)), (2, 1));
}

#[test]
fn a_packet_too_long_for_its_buffer_is_cut_and_said_to_be() {
    let mut driver = Driver::of(0);
    driver.give(0, 4);
    driver.send(0, b"truncated");
    assert_eq!(driver.received(0), (DONE | TRUNCATED, b"trun".to_vec()));
}

#[test]
fn without_a_buffer_a_packet_is_dropped_and_counted_until_read() {
    let mut driver = Driver::of(2);
    driver.send(0, b"lost");
    driver.send(1, b"lost");
    assert_eq!((driver.get(TX_HEAD), driver.get(RX_HEAD)), (2, 0));
    assert_eq!(driver.interrupts(), 2, "they were sent");
    assert_eq!((driver.get(DROPPED), driver.get(DROPPED)), (2, 0));
}

#[test]
fn nothing_happens_while_the_card_is_off_or_no_interrupt_is_wanted() {
    let mut driver = Driver::of(0);
    driver.board.write(0, CONTROL, 0);
    driver.give(0, 64);
    driver.send(0, b"nothing");
    assert_eq!((driver.get(TX_HEAD), driver.interrupts()), (0, 0));
    driver.board.write(0, CONTROL, 1);
    driver.board.write(0, INTERRUPTS, 0xe);
    driver.give(0, 64);
    driver.send(0, b"silent");
    assert_eq!(driver.received(0), (DONE, b"silent".to_vec()));
    assert_eq!(driver.interrupts(), 0);
}

#[test]
fn a_queue_that_is_told_nonsense_stops_and_the_others_go_on() {
    type Nonsense = fn(&mut Driver);
    let nonsense: [Nonsense; 7] = [
        |driver| driver.bell(TX_DOORBELL, SIZE + 1),
        |driver| driver.bell(TX_DOORBELL, u32::MAX),
        |driver| {
            driver.set(TX_SIZE, 3);
            driver.send(0, b"x");
        },
        |driver| {
            driver.set(TX_SIZE, 1 << 31);
            driver.bell(TX_DOORBELL, 1 << 31);
        },
        |driver| {
            driver.set(TX_RING, 0x10);
            driver.send(0, b"x");
        },
        |driver| {
            driver.set_descriptor(TX_AT, 0, u64::MAX - 3, 64, 0);
            driver.bell(TX_DOORBELL, 1);
        },
        |driver| {
            driver.set_descriptor(TX_AT, 0, PACKETS_AT, MAX_PACKET as usize + 1, 0);
            driver.bell(TX_DOORBELL, 1);
        },
    ];
    for nonsense in nonsense {
        let mut driver = Driver::of(3);
        nonsense(&mut driver);
        assert_eq!(driver.board.read(0, ERRORS), 1 << 3);
        assert_eq!(driver.interrupts(), 1, "the driver is told");
        driver.bell(TX_DOORBELL, 1);
        assert_eq!(driver.get(TX_HEAD), 0, "it has stopped");
        // Written as 1, it starts anew.
        driver.board.write(0, ERRORS, 1 << 3);
        driver.set(TX_RING, TX_AT as u32);
        driver.set(TX_SIZE, SIZE);
        driver.give(0, 64);
        driver.send(0, b"again");
        assert_eq!(driver.received(0), (DONE, b"again".to_vec()));
        assert_eq!(driver.board.read(0, ERRORS), 0);
    }
}

#[test]
fn a_reset_leaves_nothing_behind() {
    let mut driver = Driver::of(0);
    driver.give(0, 64);
    driver.send(0, b"x");
    driver.board.client.reset().unwrap();
    assert_eq!((driver.get(TX_HEAD), driver.get(TX_SIZE)), (0, 0));
    assert_eq!(driver.board.read(0, CONTROL), 0);
}
