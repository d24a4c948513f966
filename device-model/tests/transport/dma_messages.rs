// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory without a descriptor is reached by messages of the server, while
//! commands of the client go on.

use std::{
    os::fd::AsFd,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use device_model::{
    Dma, DmaError, GuestAddr,
    vfio_user::{Command, Header, MessageError},
};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::{
    fixture::*,
    raw::{Answer, message},
};

/// Where the memory without a descriptor begins, and its length.
const REMOTE: u64 = 0x10_0000;
const SIZE: u64 = 0x10_0000;

impl Fixture {
    /// A client with memory that it gave no descriptor for.
    fn with_remote_memory() -> Self {
        let mut fixture = Self::new();
        fixture.enable_dma();
        fixture.takes(Command::DmaMap, &map(3, 0, REMOTE, SIZE));
        fixture
    }

    fn dma(&self) -> Dma {
        self.outside.bus.get().unwrap().dma.clone()
    }

    /// The next command of the server: its header, address, count and data.
    fn next_dma(&mut self, command: Command) -> (Header, u64, u64, Vec<u8>) {
        let Answer { header, body, .. } = self.client.receive().unwrap().unwrap();
        assert!(header.is_command());
        assert_eq!(header.command, command as u16);
        let word = |at: usize| u64::from_ne_bytes(body[at..at + 8].try_into().unwrap());
        (header, word(0), word(8), body[16..].to_vec())
    }

    fn reply(&self, to: &Header, body: &[u8]) {
        let reply = message(to.id, to.command, 1, body);
        self.client.send(&reply, &[]).unwrap();
    }

    fn reply_error(&self, to: &Header, errno: Errno) {
        let mut reply = message(to.id, to.command, 0x21, &[]);
        reply[12..16].copy_from_slice(&errno.raw_os_error().to_ne_bytes());
        self.client.send(&reply, &[]).unwrap();
    }

    fn reply_read(&self, to: &Header, address: u64, data: &[u8]) {
        let body = [[address, data.len() as u64].as_bytes(), data].concat();
        self.reply(to, &body);
    }

    /// Answers the first message, which asks for one byte, with a byte where the
    /// specification has it.
    fn answer_probe(&mut self) {
        self.answer_probe_with(1);
    }

    fn answer_probe_with(&mut self, byte: u8) -> u64 {
        let (header, address, count, _) = self.next_dma(Command::DmaRead);
        assert_eq!(count, 1);
        self.reply_read(&header, address, &[byte]);
        address
    }

    /// Answers as QEMU 10.1 does: a count of 32 bits, and the data behind it.
    fn reply_read_in_other_layout(&self, to: &Header, address: u64, data: &[u8]) {
        let count = data.len() as u32;
        let body = [address.as_bytes(), count.as_bytes(), data, &[0; 4]].concat();
        self.reply(to, &body);
    }

    /// A client that has answered the first message already.
    fn probed() -> Self {
        let mut fixture = Self::with_remote_memory();
        let dma = fixture.dma();
        let probe = thread::spawn(move || dma.read(GuestAddr(REMOTE), &mut [0; 1]));
        fixture.answer_probe();
        let (header, ..) = fixture.next_dma(Command::DmaRead);
        fixture.reply_read(&header, REMOTE, &[0]);
        probe.join().unwrap().unwrap();
        fixture
    }
}

fn start_dma(id: u16, address: u64) -> Vec<u8> {
    let write = [access(BAR_TRAPPED, DMA_AT, 8), address.as_bytes().to_vec()].concat();
    message(id, Command::RegionWrite as u16, 0, &write)
}

fn read_register(id: u16, offset: u64, count: u32) -> Vec<u8> {
    let read = access(BAR_TRAPPED, offset, count);
    message(id, Command::RegionRead as u16, 0, &read)
}

#[test]
fn a_device_may_dma_while_it_handles_an_access_and_others_wait() {
    let mut fixture = Fixture::with_remote_memory();
    fixture
        .client
        .send(&start_dma(700, REMOTE + 8), &[])
        .unwrap();
    fixture.answer_probe();
    let (header, address, count, _) = fixture.next_dma(Command::DmaRead);
    assert_eq!((address, count), (REMOTE + 8, 16));
    for id in 701..704 {
        let read = read_register(id, 0, 16);
        fixture.client.send(&read, &[]).unwrap();
    }
    fixture.reply_read(&header, address, b"read by messages");
    let answer = fixture.client.receive().unwrap().unwrap();
    assert_eq!((answer.header.id, answer.errno()), (700, None));
    for id in 701..704 {
        let answer = fixture.client.receive().unwrap().unwrap();
        assert_eq!(answer.header.id, id);
        assert_eq!(&answer.body[16..], b"read by messages");
    }
}

#[test]
fn several_threads_have_messages_outstanding_that_are_answered_in_any_order() {
    const THREADS: u64 = 5;
    let mut fixture = Fixture::probed();
    let threads: Vec<_> = (0..THREADS)
        .map(|n| {
            let dma = fixture.dma();
            thread::spawn(move || {
                let mut data = [0; 8];
                let address = GuestAddr(REMOTE + 8 * n);
                dma.read(address, &mut data)
                    .map(|()| u64::from_ne_bytes(data))
            })
        })
        .collect();
    let mut asked: Vec<_> = (0..THREADS)
        .map(|_| fixture.next_dma(Command::DmaRead))
        .collect();
    // The client asks, too.
    fixture.still_serves();
    asked.sort_by_key(|(_, address, ..)| std::cmp::Reverse(*address));
    for (header, address, ..) in &asked {
        fixture.reply_read(header, *address, address.as_bytes());
    }
    for (n, thread) in (0..).zip(threads) {
        assert_eq!(thread.join().unwrap(), Ok(REMOTE + 8 * n));
    }
}

#[test]
fn a_reply_arrives_while_the_servers_thread_waits_for_who_awaits_it() {
    let mut fixture = Fixture::probed();
    let (dma, outside) = (fixture.dma(), Arc::clone(&fixture.outside));
    let reader = thread::spawn(move || {
        let _held = outside.lock.lock().unwrap();
        let mut data = [0; 4];
        dma.read(GuestAddr(REMOTE), &mut data).map(|()| data)
    });
    let (header, address, ..) = fixture.next_dma(Command::DmaRead);
    let blocked = read_register(800, LOCKED_AT, 4);
    fixture.client.send(&blocked, &[]).unwrap();
    thread::sleep(Duration::from_millis(20));
    fixture.reply_read(&header, address, b"both");
    assert_eq!(reader.join().unwrap(), Ok(*b"both"));
    let answer = fixture.client.receive().unwrap().unwrap();
    assert_eq!((answer.header.id, answer.errno()), (800, None));
}

#[test]
fn writes_carry_their_data_and_cross_into_mapped_memory() {
    let mut fixture = Fixture::probed();
    let file = memfd(0x1000);
    let behind = REMOTE + SIZE;
    let mapped = map(3, 0, behind, 0x1000);
    fixture.takes_with(Command::DmaMap, &mapped, &[file.as_fd()]);
    let dma = fixture.dma();
    let writer = thread::spawn(move || {
        dma.write(GuestAddr(behind - 3), b"over")?;
        dma.store(GuestAddr(REMOTE + 4), 0x0403_0201_u32)?;
        assert_eq!(
            dma.store(GuestAddr(REMOTE + 5), 0_u32),
            Err(DmaError::Misaligned {
                addr: GuestAddr(REMOTE + 5)
            })
        );
        dma.check_writable(GuestAddr(REMOTE), 0x10_1000)
    });
    let (header, address, count, data) = fixture.next_dma(Command::DmaWrite);
    assert_eq!((address, count, &data[..]), (behind - 3, 3, &b"ove"[..]));
    fixture.reply(&header, [address, count].as_bytes());
    let (header, address, _, data) = fixture.next_dma(Command::DmaWrite);
    assert_eq!((address, &data[..]), (REMOTE + 4, &[1, 2, 3, 4][..]));
    // QEMU's reply has no body.
    fixture.reply(&header, &[]);
    assert_eq!(writer.join().unwrap(), Ok(()));
    let mut byte = [0];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut byte, 0).unwrap();
    assert_eq!(&byte, b"r");
}

#[test]
fn no_message_carries_more_than_was_negotiated() {
    let mut fixture = Fixture::silent();
    fixture.version(b"\0\0\0\0{\"capabilities\":{\"max_data_xfer_size\":3}}\0");
    fixture.enable_dma();
    fixture.takes(Command::DmaMap, &map(1, 0, REMOTE, SIZE));
    let dma = fixture.dma();
    let reader = thread::spawn(move || {
        let mut data = [0; 8];
        let read = dma.read(GuestAddr(REMOTE), &mut data).map(|()| data);
        (read, dma.write(GuestAddr(REMOTE), b"not"))
    });
    fixture.answer_probe();
    for (at, piece) in [(0, "abc"), (3, "def"), (6, "gh")] {
        let (header, address, count, _) = fixture.next_dma(Command::DmaRead);
        assert_eq!((address, count), (REMOTE + at, piece.len() as u64));
        fixture.reply_read(&header, address, piece.as_bytes());
    }
    let addr = GuestAddr(REMOTE);
    let expected = (Ok(*b"abcdefgh"), Err(DmaError::ReadOnly { addr }));
    assert_eq!(reader.join().unwrap(), expected);
}

/// What becomes of a read that is answered so.
fn read_answered_by(answer: impl FnOnce(&mut Fixture, &Header)) -> Result<(), MessageError> {
    let mut fixture = Fixture::probed();
    let dma = fixture.dma();
    let reader = thread::spawn(move || dma.read(GuestAddr(REMOTE), &mut [0; 4]));
    let (header, ..) = fixture.next_dma(Command::DmaRead);
    answer(&mut fixture, &header);
    match reader.join().unwrap() {
        Err(DmaError::Message { source, .. }) => Err(source),
        other => {
            assert_eq!(other, Ok(()));
            Ok(())
        }
    }
}

#[test]
fn a_message_that_is_answered_badly_fails_by_name() {
    let refused = read_answered_by(|fixture, header| fixture.reply_error(header, Errno::FAULT));
    assert_eq!(refused, Err(MessageError::Refused(Errno::FAULT)));
    let short = read_answered_by(|fixture, header| fixture.reply(header, &[0; 19]));
    assert_eq!(short, Err(MessageError::BadReply));
    let gone = read_answered_by(|fixture, _| {
        fixture
            .client
            .stream
            .shutdown(std::net::Shutdown::Both)
            .unwrap();
    });
    assert_eq!(gone, Err(MessageError::Disconnected));
    let late = read_answered_by(|fixture, header| {
        let other = Header {
            id: header.id.wrapping_add(1),
            ..*header
        };
        fixture.reply_read(&other, REMOTE, &[0; 4]);
        fixture.still_serves();
    });
    assert_eq!(late, Err(MessageError::TimedOut));
}

#[test]
fn a_client_of_another_layout_is_refused_before_it_writes_wrong() {
    let (addr, source) = (GuestAddr(REMOTE), MessageError::OtherLayout);
    let expected = Err(DmaError::Message { addr, source });
    for byte in [7, 0] {
        let mut fixture = Fixture::with_remote_memory();
        let dma = fixture.dma();
        let writer = thread::spawn(move || dma.write(GuestAddr(REMOTE), b"data"));
        let (header, address, ..) = fixture.next_dma(Command::DmaRead);
        fixture.reply_read_in_other_layout(&header, address, &[byte]);
        if byte == 0 {
            // One byte, which it takes from the count: a 0 where a 0 was.
            let (header, _, count, data) = fixture.next_dma(Command::DmaWrite);
            assert_eq!((count, &data[..]), (1, &b"d"[..]));
            fixture.reply(&header, &[]);
            let (header, address, ..) = fixture.next_dma(Command::DmaRead);
            fixture.reply_read_in_other_layout(&header, address, &[0]);
        }
        assert_eq!(writer.join().unwrap(), expected);
    }
    // Read from memory that begins with zeros.
    let mut fixture = Fixture::with_remote_memory();
    let dma = fixture.dma();
    let reader = thread::spawn(move || dma.read(GuestAddr(REMOTE), &mut [0; 8]));
    let (header, address, ..) = fixture.next_dma(Command::DmaRead);
    fixture.reply_read_in_other_layout(&header, address, &[0]);
    let (header, address, ..) = fixture.next_dma(Command::DmaRead);
    fixture.reply_read_in_other_layout(&header, address, &[0, 0, 0, 0, 0, 9, 0, 0]);
    let (header, address, count, _) = fixture.next_dma(Command::DmaRead);
    assert_eq!((address, count), (REMOTE + 1, 1), "where the 9 seems to be");
    fixture.reply_read_in_other_layout(&header, address, &[0]);
    assert_eq!(reader.join().unwrap(), expected);
}

#[test]
fn zeros_are_written_before_it_is_known_how_the_client_reads_them() {
    let mut fixture = Fixture::with_remote_memory();
    let dma = fixture.dma();
    let writer = thread::spawn(move || dma.write(GuestAddr(REMOTE), b"\0\0data"));
    assert_eq!(fixture.answer_probe_with(0), REMOTE);
    let (header, address, _, data) = fixture.next_dma(Command::DmaWrite);
    assert_eq!((address, &data[..]), (REMOTE, &b"\0\0"[..]));
    fixture.reply(&header, &[]);
    assert_eq!(fixture.answer_probe_with(0), REMOTE + 2);
    let (header, address, _, data) = fixture.next_dma(Command::DmaWrite);
    assert_eq!((address, &data[..]), (REMOTE + 2, &b"d"[..]));
    fixture.reply(&header, &[]);
    assert_eq!(fixture.answer_probe_with(b'd'), REMOTE + 2);
    let (header, address, _, data) = fixture.next_dma(Command::DmaWrite);
    assert_eq!((address, &data[..]), (REMOTE + 3, &b"ata"[..]));
    fixture.reply(&header, &[]);
    assert_eq!(writer.join().unwrap(), Ok(()));
}

#[test]
fn commands_instead_of_the_reply_do_not_pile_up() {
    let mut fixture = Fixture::probed();
    fixture.client.send(&start_dma(900, REMOTE), &[]).unwrap();
    let (header, ..) = fixture.next_dma(Command::DmaRead);
    // More than 1 MiB with what each counts beside its bytes.
    let flood: Vec<u8> = (1000..13_000)
        .flat_map(|id| read_register(id, 0, 1))
        .collect();
    let started = Instant::now();
    fixture.client.send(&flood, &[]).unwrap();
    for id in [900].into_iter().chain(1000..13_000) {
        let answer = fixture.client.receive().unwrap().unwrap();
        assert_eq!((answer.header.id, answer.errno()), (id, None));
        if id > 900 {
            assert_eq!(answer.body[16], 0xff, "the DMA has failed");
        }
    }
    assert!(started.elapsed() < Duration::from_secs(2), "at once");
    fixture.reply_read(&header, REMOTE, &[0; 16]);
    fixture.still_serves();
}
