// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Clients that leave and come again.

use std::{net::Shutdown, os::fd::AsFd};

use device_model::{
    Disconnect, DmaError, GuestAddr, Options, ServerEnd, Signalled,
    vfio_user::{Command, MAX_MESSAGE},
};

use crate::{
    fixture::*,
    raw::{CAPABILITIES, PATIENCE, RawClient, message},
};

fn fixture(disconnect: Disconnect) -> Fixture {
    let mut fixture = Fixture::with(Options::default().on_disconnect(disconnect));
    fixture.version(CAPABILITIES);
    fixture
}

/// A client sets things up, and is gone; the next one comes.
fn leave_and_come(fixture: &mut Fixture) {
    fixture.enable_dma();
    fixture.enable_msix();
    let (file, event) = (memfd(0x1000), event());
    fixture.takes_with(Command::DmaMap, &map(3, 0, 0, 0x1000), &[file.as_fd()]);
    let connect = irqs(EVENTFD | TRIGGER, MSIX, 0, 1, &[]);
    fixture.takes_with(Command::SetIrqs, &connect, &[event.as_fd()]);
    let bus = fixture.outside.bus.get().unwrap().clone();
    bus.dma.write(GuestAddr(0), b"there").unwrap();
    assert_eq!(bus.irqs.msix(0).raise().unwrap(), Signalled::Sent);
    let half = message(1, Command::RegionRead as u16, 0, &access(0, 0, 4));
    fixture.client.send(&half[..20], &[]).unwrap();
    fixture.client.stream.shutdown(Shutdown::Both).unwrap();
    fixture.client = RawClient::new(&fixture.path);
    assert_ne!(bus.irqs.msix(0).raise().unwrap(), Signalled::Sent);
    assert_eq!(fixture.server.ended(), None);
}

fn bus_master(fixture: &mut Fixture) -> bool {
    let command = fixture.takes(Command::RegionRead, &access(CONFIG, 4, 2));
    command.body[16] & 4 != 0
}

#[test]
fn a_device_that_is_kept_has_its_state_but_no_memory_and_no_interrupts() {
    let mut fixture = fixture(Disconnect::Keep);
    leave_and_come(&mut fixture);
    assert!(bus_master(&mut fixture));
    let dma = &fixture.outside.bus.get().unwrap().dma;
    let addr = GuestAddr(0);
    assert_eq!(dma.write(addr, b"gone"), Err(DmaError::NotMapped { addr }));
}

#[test]
fn a_device_that_is_reset_is_as_after_power_on() {
    let mut fixture = fixture(Disconnect::Reset);
    leave_and_come(&mut fixture);
    assert!(!bus_master(&mut fixture));
    let dma = &fixture.outside.bus.get().unwrap().dma;
    let addr = GuestAddr(0);
    let refused = Err(DmaError::BusMasterOff { addr });
    assert_eq!(dma.write(addr, b"gone"), refused);
    leave_and_come(&mut fixture);
}

#[test]
fn a_stream_without_sense_costs_the_connection_and_not_the_device() {
    let mut fixture = fixture(Disconnect::Keep);
    let mut nonsense = message(1, Command::RegionRead as u16, 0, &[]);
    nonsense[4..8].copy_from_slice(&(MAX_MESSAGE as u32 + 1).to_ne_bytes());
    fixture.client.send(&nonsense, &[]).unwrap();
    assert!(fixture.client.receive().unwrap().is_some());
    assert!(fixture.client.is_hung_up());
    fixture.client = RawClient::new(&fixture.path);
    fixture.still_serves();
}

#[test]
fn clients_that_wait_are_served_one_after_the_other_until_it_is_stopped() {
    let mut fixture = fixture(Disconnect::Reset);
    let waiting = RawClient::connect(&fixture.path);
    fixture.still_serves();
    fixture.client = waiting; // The first one leaves.
    fixture.version(CAPABILITIES);
    fixture.still_serves();
    assert_eq!(fixture.server.stop(PATIENCE), Some(ServerEnd::Stopped));
    assert!(fixture.client.is_hung_up());
    assert!(!fixture.path.exists());
}

#[test]
fn the_client_of_the_crate_has_a_full_session_and_another() {
    let fixture = fixture(Disconnect::Reset);
    drop(fixture.client);
    for _ in 0..2 {
        let mut client = vfio_user::Client::new(&fixture.path).unwrap();
        let mapped = client.region(BAR_MAPPED).unwrap();
        assert!(mapped.file_offset.is_some());
        assert_eq!(mapped.sparse_areas.len(), 2);
        assert_eq!(client.get_irq_info(MSIX).unwrap().count, 4);
        let (file, event) = (memfd(0x1000), event());
        let raw = std::os::fd::AsRawFd::as_raw_fd;
        client.dma_map(0, 0x1000, 0x1000, raw(&file)).unwrap();
        client
            .set_irqs(MSIX, EVENTFD | TRIGGER, 0, 1, &[raw(&event)])
            .unwrap();
        client.set_irqs(MSIX, NONE | TRIGGER, 0, 1, &[]).unwrap();
        assert_eq!(count(&event), 1);
        client.region_write(BAR_TRAPPED, 8, b"said").unwrap();
        let mut data = [0; 4];
        client.region_read(BAR_TRAPPED, 8, &mut data).unwrap();
        assert_eq!(&data, b"said");
        client.reset().unwrap();
        client.dma_unmap(0x1000, 0x1000).unwrap();
    }
}
