// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Raising an event allocates nothing, and no more does answering an access: an
//! allocator that counts says so.

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    time::Duration,
};

use common::Guest;
use device_model::{
    Function,
    event::{EventDevice, Outcome, Payload, Vector},
    vfio_user::{Command, Connection, Dispatcher, HEADER_SIZE, Header, Message, Reply},
};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use zerocopy::IntoBytes;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are the ones asked for here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the ones asked for here.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn raising_an_event_allocates_nothing() {
    let mut guest = Guest::boot();
    guest.arm(0, 4, 16384);
    guest.enable();
    let (source, bytes) = (guest.source.clone(), [7; 100]);
    let vector = Vector::default();
    let before = ALLOCATIONS.get();
    assert_ne!(before, 0, "the allocator counts");
    let outcomes = [
        source.raise(vector, Payload::Pattern(4096)),
        source.raise(vector, Payload::Bytes(&bytes)),
        source.raise(vector, Payload::Bytes(&[])),
        source.raise(vector, Payload::Pattern(64)),
        source.raise(vector, Payload::Pattern(64)),
    ];
    assert_eq!(ALLOCATIONS.get(), before);
    let lost = outcomes.map(|raised| raised.unwrap().outcome == Outcome::RingOverflow);
    assert_eq!(lost, [false, false, false, false, true]);
}

/// A read of the first register of the event device.
fn read_register() -> Vec<u8> {
    let body = [0_u32, 0, 0, 4];
    let header = Header {
        command: Command::RegionRead as u16,
        size: (HEADER_SIZE + size_of_val(&body)) as u32,
        ..Header::default()
    };
    [header.as_bytes(), body.as_bytes()].concat()
}

#[test]
fn answering_an_access_allocates_nothing() {
    let flags = SocketFlags::CLOEXEC;
    let (client, server) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
    let connection = Connection::new(server, Duration::ZERO).unwrap();
    let mut function = Function::new(Box::new(EventDevice::new().unwrap())).unwrap();
    let (mut dispatcher, mut message, mut reply) =
        (Dispatcher::new(), Message::default(), Reply::default());
    let header = Header {
        command: Command::Version as u16,
        size: HEADER_SIZE as u32 + 4,
        ..Header::default()
    };
    let version = [header.as_bytes(), &[0; 4]].concat();
    let mut answer = |message_sent: &[u8]| {
        send(&client, message_sent, SendFlags::empty()).unwrap();
        connection.next_command(&mut message, None).unwrap();
        let fds = std::mem::take(&mut message.fds);
        dispatcher.handle(&message.bytes, fds, false, &mut function, &mut reply);
        connection.send(&reply).unwrap();
        Header::read(reply.bytes()).unwrap().size
    };
    answer(&version);
    let read = read_register();
    answer(&read);
    let before = ALLOCATIONS.get();
    let sizes = [answer(&read), answer(&read)];
    assert_eq!(ALLOCATIONS.get(), before);
    assert_eq!(sizes, [36; 2]);
}
