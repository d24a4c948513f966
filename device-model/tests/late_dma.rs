// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An answer is a barrier: when software has heard that the function no longer
//! masters the bus, is reset or asleep, that memory is unmapped or a ring
//! disarmed, no thread of the device writes any more, however long the write is
//! that it was in.

mod common;

use std::{
    fs::File,
    os::{fd::AsRawFd, unix::fs::FileExt},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use common::{
    Guest, RECORDS_AT,
    board::{Board, wait},
    capability, memfd,
};
use device_model::{
    Bus, DeviceSpec, Dma, DmaError, FaultInjection, GuestAddr, Identity, PciDevice,
    PowerManagement,
    event::{Payload, Vector},
};
use irqbed_abi::regs;

/// Memory of its own for the writes, above the board's.
const AT: u64 = 0x1000_0000;
/// Longest write.
const SIZE: u64 = 4 << 20;
const LENGTHS: [usize; 3] = [4 << 10, 64 << 10, 4 << 20];
const ROUNDS: u32 = 100;

#[derive(Default)]
struct Seen {
    bus: Mutex<Option<Bus>>,
    quiesced: AtomicU32,
    /// Whether memory could be written while it came to rest.
    reached: AtomicBool,
}

struct Writer(Arc<Seen>);

impl PciDevice for Writer {
    fn spec(&self) -> DeviceSpec {
        DeviceSpec::new(Identity::new(0x1bed, 0xd3a0)).power(PowerManagement::default())
    }

    fn attach(&mut self, bus: Bus) {
        *self.0.bus.lock().unwrap() = Some(bus);
    }

    fn quiesce(&mut self) {
        let bus = self.0.bus.lock().unwrap().clone().unwrap();
        let reached = bus.dma.write(GuestAddr(AT), &[1]).is_ok();
        self.0.reached.store(reached, Ordering::Relaxed);
        self.0.quiesced.fetch_add(1, Ordering::Relaxed);
    }
}

/// A board with such a device, and a thread of it that writes all the time, each
/// time another byte, and takes no notice of errors.
struct Fixture {
    board: Board,
    seen: Arc<Seen>,
    memory: File,
    dma: Dma,
    stop: Arc<AtomicBool>,
    writes: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Fixture {
    fn new() -> Self {
        let seen = Arc::new(Seen::default());
        let mut board = Board::with(Writer(Arc::clone(&seen)));
        let memory = memfd(SIZE);
        board
            .client
            .dma_map(0, AT, SIZE, memory.as_raw_fd())
            .unwrap();
        let bus = seen.bus.lock().unwrap().clone().unwrap();
        Self {
            board,
            seen,
            memory,
            dma: bus.dma,
            stop: Arc::default(),
            writes: Arc::default(),
            thread: None,
        }
    }

    fn start(&mut self, dma: Dma, len: usize) {
        let (stop, writes) = (Arc::clone(&self.stop), Arc::clone(&self.writes));
        stop.store(false, Ordering::Relaxed);
        self.thread = Some(thread::spawn(move || {
            let mut data = vec![0_u8; len];
            while !stop.load(Ordering::Relaxed) {
                let byte = data[0].wrapping_add(1);
                data.fill(byte);
                if dma.write(GuestAddr(AT), &data).is_ok() {
                    writes.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// Waits until the thread is in the middle of its work.
    fn wait_for_writes(&self) {
        let before = self.writes.load(Ordering::Relaxed);
        wait("a write", || self.writes.load(Ordering::Relaxed) > before);
    }

    /// Whether memory changes from now on, for longer than the longest write
    /// takes.
    fn changes(&self, len: usize) -> bool {
        let read = || {
            let mut bytes = vec![0; len];
            self.memory.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        };
        let before = read();
        thread::sleep(Duration::from_millis(3));
        read() != before
    }

    /// Ends the writes by `end` and allows them again by `again`, many times.
    fn rounds(&mut self, len: usize, end: impl Fn(&mut Board), again: impl Fn(&mut Board)) -> u32 {
        self.start(self.dma.clone(), len);
        let mut changed = 0;
        for _ in 0..ROUNDS {
            self.wait_for_writes();
            end(&mut self.board);
            changed += u32::from(self.changes(len));
            again(&mut self.board);
        }
        self.stop();
        changed
    }
}

const MASTER: u16 = 0b110;
const NO_MASTER: u16 = 0b010;

#[test]
fn no_write_lands_when_software_has_heard_that_the_function_masters_the_bus_no_more() {
    let mut fixture = Fixture::new();
    for len in LENGTHS {
        let changed = fixture.rounds(
            len,
            |board| board.set_config(4, NO_MASTER),
            |board| board.set_config(4, MASTER),
        );
        assert_eq!(changed, 0, "of {ROUNDS} rounds of {len} bytes");
    }
}

#[test]
fn no_write_lands_behind_a_reset() {
    let mut fixture = Fixture::new();
    let advanced = capability(&mut fixture.board.client, 0x13);
    for len in LENGTHS {
        let by_software = fixture.rounds(
            len,
            |board| {
                let control = (advanced + 4, [1]);
                board.client.region_write(7, control.0, &control.1).unwrap();
            },
            |board| board.set_config(4, MASTER),
        );
        let by_hypervisor = fixture.rounds(
            len,
            |board| board.client.reset().unwrap(),
            |board| board.set_config(4, MASTER),
        );
        assert_eq!((by_software, by_hypervisor), (0, 0), "{len} bytes");
    }
}

#[test]
fn no_write_lands_in_a_function_that_sleeps() {
    let mut fixture = Fixture::new();
    let control = capability(&mut fixture.board.client, 0x01) + 4;
    for len in LENGTHS {
        let changed = fixture.rounds(
            len,
            |board| board.set_config(control, 3),
            |board| board.set_config(control, 0),
        );
        assert_eq!(changed, 0, "of {ROUNDS} rounds of {len} bytes");
    }
}

#[test]
fn no_write_lands_in_memory_that_is_unmapped() {
    let mut fixture = Fixture::new();
    let memory = fixture.memory.as_raw_fd();
    for len in LENGTHS {
        let changed = fixture.rounds(
            len,
            |board| board.client.dma_unmap(AT, SIZE).unwrap(),
            |board| board.client.dma_map(0, AT, SIZE, memory).unwrap(),
        );
        assert_eq!(changed, 0, "of {ROUNDS} rounds of {len} bytes");
    }
}

#[test]
fn no_write_lands_when_the_hypervisor_has_left_and_been_answered() {
    let mut fixture = Fixture::new();
    fixture.start(fixture.dma.clone(), SIZE as usize);
    fixture.wait_for_writes();
    fixture.board.client.shutdown().unwrap();
    assert!(fixture.board.server.wait(Duration::from_secs(30)).is_some());
    assert!(!fixture.changes(SIZE as usize));
    fixture.stop();
}

/// A write that began before is not carried out in pieces behind it.
#[test]
fn a_write_that_was_under_way_is_aborted_also_where_it_would_be_allowed_again() {
    let mut fixture = Fixture::new();
    let (dma, aborted) = (fixture.dma.clone(), Arc::new(AtomicU32::new(0)));
    let (stop, count) = (Arc::clone(&fixture.stop), Arc::clone(&aborted));
    fixture.thread = Some(thread::spawn(move || {
        let data = vec![7; SIZE as usize];
        while !stop.load(Ordering::Relaxed) {
            if let Err(DmaError::Aborted { .. }) = dma.write(GuestAddr(AT), &data) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }));
    wait("a write that is aborted", || {
        fixture.board.set_config(4, NO_MASTER);
        fixture.board.set_config(4, MASTER);
        aborted.load(Ordering::Relaxed) > 0
    });
    fixture.stop();
}

#[test]
fn the_work_of_before_a_reset_does_not_go_on_behind_it() {
    let mut fixture = Fixture::new();
    for len in LENGTHS {
        for _ in 0..10 {
            let work = fixture.dma.channel();
            fixture.start(work.clone(), len);
            fixture.wait_for_writes();
            fixture.board.client.reset().unwrap();
            fixture.board.set_config(4, MASTER);
            assert!(!fixture.changes(len), "{len} bytes");
            fixture.stop();
            let addr = GuestAddr(AT);
            assert_eq!(work.write(addr, &[1]), Err(DmaError::Aborted { addr }));
            assert_eq!(work.load::<u32>(addr), Err(DmaError::Aborted { addr }));
            assert_eq!(fixture.dma.write(addr, &[1]), Ok(()));
        }
    }
}

#[test]
fn a_channel_that_is_terminated_is_at_rest_and_others_go_on() {
    let mut fixture = Fixture::new();
    let addr = GuestAddr(AT);
    for len in LENGTHS {
        for _ in 0..10 {
            let work = fixture.dma.channel();
            let other = work.channel();
            fixture.start(work.clone(), len);
            fixture.wait_for_writes();
            work.terminate();
            assert!(!fixture.changes(len), "{len} bytes");
            fixture.stop();
            assert_eq!(work.write(addr, &[1]), Err(DmaError::Aborted { addr }));
            assert_eq!(other.write(addr, &[1]), Ok(()));
        }
    }
}

#[test]
fn a_channel_outlives_a_while_without_bus_mastering() {
    let mut fixture = Fixture::new();
    let (work, addr) = (fixture.dma.channel(), GuestAddr(AT));
    fixture.board.set_config(4, NO_MASTER);
    assert_eq!(work.write(addr, &[1]), Err(DmaError::BusMasterOff { addr }));
    fixture.board.set_config(4, MASTER);
    assert_eq!(work.write(addr, &[1]), Ok(()));
}

#[test]
fn a_device_is_told_to_come_to_rest_while_it_can_still_reach_memory() {
    let mut fixture = Fixture::new();
    let seen = Arc::clone(&fixture.seen);
    let quiesced = || {
        let reached = seen.reached.swap(false, Ordering::Relaxed);
        (seen.quiesced.swap(0, Ordering::Relaxed), reached)
    };
    let once = (1, true);
    fixture.board.set_config(4, NO_MASTER);
    assert_eq!(quiesced(), once);
    fixture.board.client.reset().unwrap();
    assert_eq!(quiesced(), (0, false), "it was at rest");
    fixture.board.set_config(4, MASTER);
    let control = capability(&mut fixture.board.client, 0x01) + 4;
    fixture.board.set_config(control, 3);
    assert_eq!(quiesced(), once);
    fixture.board.set_config(control, 0);
    fixture.board.client.reset().unwrap();
    assert_eq!(quiesced(), once);
    fixture.board.set_config(4, MASTER);
    fixture.board.client.shutdown().unwrap();
    assert!(fixture.board.server.wait(Duration::from_secs(30)).is_some());
    assert_eq!(quiesced(), once);
}

/// Bytes of the records of ring 0.
const RING: usize = 64 * 32;

fn raise(guest: &Guest) {
    let vector = Vector::default();
    guest.source.raise(vector, Payload::Pattern(64)).unwrap();
}

#[test]
fn a_late_write_of_a_fault_does_not_land_in_a_ring_that_is_disarmed() {
    for how in ["disarm", "control", "reset", "bus master"] {
        let mut guest = Guest::boot();
        assert!(guest.arm(0, 64, 1 << 16));
        guest.enable();
        let faults = guest.server.faults();
        faults
            .arm("dma-late:mean=20ms,distribution=constant".parse().unwrap())
            .unwrap();
        for _ in 0..8 {
            raise(&guest);
        }
        let arm = regs::REG_RING_BASE + regs::RING_ARM;
        match how {
            "disarm" => guest.set_register(arm, 0),
            "control" => guest.set_register(regs::REG_CTRL, regs::CTRL_RESET),
            "reset" => guest.client.reset().unwrap(),
            _ => guest.set_bus_master(false),
        }
        let before = guest.memory(RECORDS_AT, RING);
        guest.set_bus_master(true);
        if how != "bus master" {
            assert!(guest.arm(0, 64, 1 << 16));
        }
        thread::sleep(Duration::from_millis(40));
        faults.clear();
        assert_eq!(guest.memory(RECORDS_AT, RING), before, "{how}");
    }
}

#[test]
fn no_event_lands_in_a_ring_whose_disarming_was_answered() {
    let mut guest = Guest::boot();
    let stop = Arc::new(AtomicBool::new(false));
    let thread = {
        let (source, stop) = (guest.source.clone(), Arc::clone(&stop));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let _ = source.raise(Vector::default(), Payload::Pattern(4096));
            }
        })
    };
    guest.enable();
    let arm = regs::REG_RING_BASE + regs::RING_ARM;
    for round in 0..ROUNDS {
        assert!(guest.arm(0, 64, 1 << 18));
        wait("an event", || guest.source.in_flight(Vector::default()) > 0);
        guest.set_register(arm, 0);
        let before = guest.memory(RECORDS_AT, RING);
        thread::sleep(Duration::from_millis(1));
        assert_eq!(guest.memory(RECORDS_AT, RING), before, "round {round}");
    }
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}
