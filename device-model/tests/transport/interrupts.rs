// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Interrupts are connected, masked and triggered.

use std::{fs::File, io::Write, os::fd::AsFd};

use device_model::vfio_user::Command;
use rustix::io::Errno;

use crate::fixture::*;

#[test]
fn interrupts_are_set_by_none_bools_and_eventfds() {
    let mut fixture = Fixture::new();
    fixture.enable_msix();
    let events = [event(), event(), event()];
    let fds: Vec<_> = events.iter().map(AsFd::as_fd).collect();
    let connect = irqs(EVENTFD | TRIGGER, MSIX, 1, 3, &[]);
    fixture.takes_with(Command::SetIrqs, &connect, &fds);
    let counts = |events: &[File; 3]| events.each_ref().map(count);
    fixture.takes(
        Command::SetIrqs,
        &irqs(BOOL | TRIGGER, MSIX, 0, 4, &[1, 0, 2, 0]),
    );
    assert_eq!(counts(&events), [0, 1, 0]);
    fixture.takes(Command::SetIrqs, &irqs(NONE | TRIGGER, MSIX, 1, 2, &[]));
    assert_eq!(counts(&events), [1, 1, 0]);
    fixture.takes(Command::SetIrqs, &irqs(BOOL | MASK, MSIX, 1, 3, &[0, 0, 1]));
    fixture.takes(Command::SetIrqs, &irqs(NONE | TRIGGER, MSIX, 1, 3, &[]));
    assert_eq!(counts(&events), [1, 1, 0]);
    fixture.takes(
        Command::SetIrqs,
        &irqs(BOOL | UNMASK, MSIX, 1, 3, &[0, 0, 1]),
    );
    assert_eq!(counts(&events), [0, 0, 1]);
    fixture.takes(Command::SetIrqs, &irqs(EVENTFD | TRIGGER, MSIX, 1, 1, &[]));
    fixture.takes(Command::SetIrqs, &irqs(NONE | TRIGGER, MSIX, 1, 2, &[]));
    assert_eq!(counts(&events), [0, 1, 0]);
    for body in [
        irqs(TRIGGER, MSIX, 0, 1, &[]),
        irqs(NONE | BOOL | TRIGGER, MSIX, 0, 1, &[1]),
        irqs(NONE | TRIGGER | MASK, MSIX, 0, 1, &[]),
        irqs(NONE | TRIGGER, MSIX, 0, 5, &[]),
        irqs(NONE | TRIGGER, MSIX, 4, 1, &[]),
        irqs(NONE | TRIGGER, MSIX, u32::MAX, u32::MAX, &[]),
        irqs(BOOL | TRIGGER, MSIX, 0, 2, &[1]),
        irqs(NONE | TRIGGER, MSIX, 0, 1, &[1]),
        irqs(NONE | TRIGGER, 5, 0, 0, &[]),
        irqs(NONE | TRIGGER, 0, 0, 1, &[]),
    ] {
        fixture.refuses(Command::SetIrqs, &body, Errno::INVAL);
    }
    let too_few = irqs(EVENTFD | TRIGGER, MSIX, 0, 4, &[]);
    let answer = fixture
        .client
        .ask_with(Command::SetIrqs as u16, &too_few, &fds);
    assert_eq!(answer.errno(), Some(22));
    let told = irqs(EVENTFD | UNMASK, MSIX, 0, 1, &[]);
    let answer = fixture
        .client
        .ask_with(Command::SetIrqs as u16, &told, &fds[..1]);
    assert_eq!(answer.errno(), Some(Errno::OPNOTSUPP.raw_os_error() as u32));
    fixture.still_serves();
}

#[test]
fn what_could_make_a_signal_wait_is_no_eventfd() {
    let mut fixture = Fixture::new();
    let connect = irqs(EVENTFD | TRIGGER, MSIX, 0, 1, &[]);
    let (reader, writer) = std::io::pipe().unwrap();
    let answer = fixture
        .client
        .ask_with(Command::SetIrqs as u16, &connect, &[writer.as_fd()]);
    assert_eq!(answer.errno(), Some(22));
    drop((reader, writer));
    let mut full = event();
    full.write_all(&(u64::MAX - 1).to_ne_bytes()).unwrap();
    fixture.takes_with(Command::SetIrqs, &connect, &[full.as_fd()]);
    fixture.takes(Command::SetIrqs, &irqs(NONE | TRIGGER, MSIX, 0, 1, &[]));
    fixture.still_serves();
}
