// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Devices of every shape, as a hypervisor sees them over a real socket.

mod common;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use common::{
    RAM_AT,
    board::{Board, INTX, MSIX, wait},
    capability,
};
use device_model::{
    Area, Bar, BarIndex, Bus, DeviceSpec, ExtendedCapability, GuestAddr, Identity, IntxPin,
    OwnCapability, PciDevice, PowerManagement, PowerState, ResetKind, ServeError, Server,
    SharedMemory, Signalled, Slot, TimerId, VendorCapability, serve, spec::SpecError,
};
use vfio_bindings::bindings::vfio::{VFIO_PCI_CONFIG_REGION_INDEX, VFIO_REGION_INFO_FLAG_MMAP};

/// What has happened to a [`Probe`].
#[derive(Debug, Default)]
struct Seen {
    power: Vec<PowerState>,
    resets: Vec<ResetKind>,
    timers: u32,
    capabilities: Vec<(OwnCapability, Vec<u8>)>,
}

/// A device of any shape, whose trapped bytes are 0x11 and that tells the test
/// what is done to it.
struct Probe {
    spec: DeviceSpec,
    bus: Arc<Mutex<Bus>>,
    seen: Arc<Mutex<Seen>>,
    written: Arc<AtomicU32>,
}

impl Probe {
    fn new(spec: DeviceSpec) -> Self {
        Self {
            spec,
            bus: Arc::new(Mutex::new(Bus::detached())),
            seen: Arc::default(),
            written: Arc::default(),
        }
    }
}

impl PciDevice for Probe {
    fn spec(&self) -> DeviceSpec {
        self.spec.clone()
    }

    fn attach(&mut self, bus: Bus) {
        *self.bus.lock().unwrap() = bus;
    }

    fn bar_read(&mut self, _: BarIndex, _: u64, data: &mut [u8]) {
        data.fill(0x11);
    }

    fn bar_write(&mut self, _: BarIndex, _: u64, _: &[u8]) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    fn timer(&mut self, _: TimerId) {
        self.seen.lock().unwrap().timers += 1;
    }

    fn capability_write(&mut self, capability: OwnCapability, data: &mut [u8]) {
        let seen = (capability, data.to_vec());
        self.seen.lock().unwrap().capabilities.push(seen);
        // The command is carried out.
        data[0] = 0;
        data[1] += 1;
    }

    fn power(&mut self, state: PowerState) {
        self.seen.lock().unwrap().power.push(state);
    }

    fn reset(&mut self, kind: ResetKind) {
        self.seen.lock().unwrap().resets.push(kind);
    }
}

const BARE: DeviceSpec = DeviceSpec::new(Identity::new(0x1bed, 0x00fe));

#[test]
fn an_impossible_device_is_refused_before_its_socket_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device");
    let spec = BARE.bar(BarIndex::BAR1, Bar::io_ports(1024));
    let refused = Server::bind(&path).unwrap().serve(Probe::new(spec));
    assert!(matches!(
        refused,
        Err(ServeError::Spec(SpecError::IoBarSize { bar: 1, .. }))
    ));
    assert!(!path.exists());
}

#[test]
fn a_mixed_bar_is_memory_in_its_areas_and_traps_elsewhere() {
    let memory = SharedMemory::new("mixed", 0x4000).unwrap();
    let page = Area {
        offset: 0x2000,
        size: 0x1000,
    };
    let bar = Bar::mapped(memory.file(), 0x4000).areas(vec![page]).wide();
    let mut board = Board::with(Probe::new(BARE.bar(BarIndex::BAR2, bar)));
    let region = board.client.region(2).unwrap();
    assert_ne!(region.flags & VFIO_REGION_INFO_FLAG_MMAP, 0);
    assert_eq!(region.sparse_areas[0].offset, 0x2000);
    memory.store_u32(0x2010, 42, Ordering::Release);
    assert_eq!(board.read(2, 0x2010), 42);
    assert_eq!(board.read(2, 0x1ffc), 0x1111_1111);
    assert_eq!(board.read(2, 0x3000), 0x1111_1111);
    board.write(2, 0x2014, 43);
    assert_eq!(memory.load_u32(0x2014, Ordering::Acquire), 43);
}

#[test]
fn ports_and_memory_side_by_side() {
    let spec = BARE
        .bar(BarIndex::BAR0, Bar::io_ports(16))
        .bar(BarIndex::BAR1, Bar::trapped(0x1000));
    let mut board = Board::with(Probe::new(spec));
    assert_eq!(board.client.region(0).unwrap().size, 16);
    assert_eq!(board.config(0x10) & 3, 1);
    assert_eq!(board.read(0, 12), 0x1111_1111);
}

#[test]
fn the_extended_configuration_space_is_reached() {
    let spec = BARE
        .express()
        .extended(ExtendedCapability::serial_number(0x0102_0304_0506_0708));
    let mut board = Board::with(Probe::new(spec));
    let config = board.client.region(VFIO_PCI_CONFIG_REGION_INDEX).unwrap();
    assert_eq!(config.size, 4096);
    assert_eq!(board.config(0x100) & 0xffff, 3);
    assert_eq!(board.config(0x104), 0x0506_0708);
    let bare = Board::with(Probe::new(BARE));
    let config = bare.client.region(VFIO_PCI_CONFIG_REGION_INDEX).unwrap();
    assert_eq!(config.size, 256);
}

#[test]
fn a_device_answers_in_the_capability_that_was_written() {
    let spec = BARE
        .express()
        .vendor(VendorCapability::new([7]))
        .vendor(VendorCapability::new([0, 10, 20]).writable([0xf0]))
        .extended(ExtendedCapability::new(0x1234, 1, [1, 30, 40]).writable([0x0f]));
    let probe = Probe::new(spec);
    let seen = Arc::clone(&probe.seen);
    // One that is not forwarded would be lost in the box.
    let boxed: Box<dyn PciDevice> = Box::new(probe);
    let mut board = Board::with(boxed);
    let first = capability(&mut board.client, 0x09);
    let second = u64::from(board.config(first) >> 8 & 0xff);
    board.write(VFIO_PCI_CONFIG_REGION_INDEX, first, u32::MAX);
    // Id, link and length are written, too, and stay.
    board.write(VFIO_PCI_CONFIG_REGION_INDEX, second, u32::MAX);
    let (header, data) = (board.config(second), board.config(second + 3));
    assert_eq!(
        (header >> 16, data & 0xff_ffff),
        (0x0006, 20 << 16 | 11 << 8)
    );
    board.set_config(0x104, 0x00ff);
    assert_eq!(board.config(0x104), 40 << 16 | 31 << 8);
    board.set_config(0x100, 0xffff);
    let found = std::mem::take(&mut seen.lock().unwrap().capabilities);
    assert_eq!(
        found,
        [
            (OwnCapability::Vendor(1), vec![0xf0, 10, 20]),
            (OwnCapability::Extended(0), vec![0x0f, 30, 40]),
        ]
    );
}

#[test]
fn a_device_that_sleeps_neither_answers_nor_interrupts_nor_reaches_memory() {
    let spec = BARE
        .bar(BarIndex::BAR0, Bar::trapped(0x1000))
        .msix_in(BarIndex::BAR4, 2)
        .power(PowerManagement::default());
    let probe = Probe::new(spec);
    let (bus, seen) = (Arc::clone(&probe.bus), Arc::clone(&probe.seen));
    let written = Arc::clone(&probe.written);
    let mut board = Board::with(probe);
    let bus = bus.lock().unwrap().clone();
    board.enable(MSIX, 2);
    assert_eq!(bus.irqs.msix(1).raise().unwrap(), Signalled::Sent);
    assert_eq!(board.interrupts(1), 1);
    let control = capability(&mut board.client, 0x01) + 4;
    board.set_config(control, 3);
    assert_eq!(board.read(0, 0), u32::MAX);
    board.write(0, 0, 1);
    assert_eq!(written.load(Ordering::Relaxed), 0);
    assert_eq!(bus.irqs.msix(1).raise().unwrap(), Signalled::Off);
    assert!(bus.dma.write(GuestAddr(RAM_AT), b"x").is_err());
    board.set_config(control, 0);
    assert_eq!(board.read(0, 0), 0x1111_1111);
    assert_eq!(bus.irqs.msix(1).raise().unwrap(), Signalled::Sent);
    assert!(bus.dma.write(GuestAddr(RAM_AT), b"x").is_ok());
    let seen = seen.lock().unwrap();
    assert_eq!(seen.power, [PowerState::D3hot, PowerState::D0]);
    assert_eq!(seen.resets, [], "it kept its state");
}

#[test]
fn a_device_that_forgets_in_its_sleep_is_reset_when_it_wakes() {
    let probe = Probe::new(BARE.power(PowerManagement { resets: true }));
    let seen = Arc::clone(&probe.seen);
    let mut board = Board::with(probe);
    let control = capability(&mut board.client, 0x01) + 4;
    board.set_config(control, 3);
    board.set_config(control, 0);
    assert_eq!(seen.lock().unwrap().resets, [ResetKind::Function]);
}

#[test]
fn pending_bits_are_read_without_the_device() {
    let probe = Probe::new(BARE.msix_in(BarIndex::BAR4, 40));
    let (bus, written) = (Arc::clone(&probe.bus), Arc::clone(&probe.written));
    let mut board = Board::with(probe);
    let bus = bus.lock().unwrap().clone();
    board.enable(MSIX, 1);
    assert_eq!(bus.irqs.msix(35).raise().unwrap(), Signalled::Pending);
    assert_eq!(board.read(4, 40 * 16), 0);
    assert_eq!(board.read(4, 40 * 16 + 4), 1 << 3);
    assert_eq!(board.read(4, 0x800), 0x1111_1111, "the device's own");
    board.write(4, 0, 1);
    assert_eq!(written.load(Ordering::Relaxed), 0);
}

#[test]
fn vectors_masked_as_a_whole_are_seen_pending_and_fire_when_they_are_not() {
    let probe = Probe::new(BARE.msix_in(BarIndex::BAR4, 4));
    let bus = Arc::clone(&probe.bus);
    let mut board = Board::with(probe);
    let bus = bus.lock().unwrap().clone();
    board.enable(MSIX, 4);
    let control = capability(&mut board.client, 0x11) + 2;
    board.set_config(control, 0xc000);
    assert_eq!(bus.irqs.any(2).raise().unwrap(), Signalled::Pending);
    let pending = 4 * 16;
    assert_eq!((board.read(4, pending), board.interrupts(2)), (1 << 2, 0));
    board.set_config(control, 0x8000);
    assert_eq!((board.read(4, pending), board.interrupts(2)), (0, 1));
}

/// Command and status as a driver reads them: whether the line is disabled, and
/// whether the function says that it asserts it.
fn line(board: &mut Board) -> (bool, bool) {
    let both = board.config(4);
    (both & 1 << 10 != 0, both & 1 << 19 != 0)
}

#[test]
fn interrupt_status_follows_the_line_also_while_it_is_disabled() {
    let probe = Probe::new(BARE.intx(IntxPin::A).msix_in(BarIndex::BAR4, 1));
    let bus = Arc::clone(&probe.bus);
    let mut board = Board::with(probe);
    let bus = bus.lock().unwrap().clone();
    board.enable(INTX, 1);
    assert_eq!(line(&mut board), (false, false));
    bus.irqs.intx().raise().unwrap();
    assert_eq!((line(&mut board), board.interrupts(0)), ((false, true), 1));
    // What pci_check_and_mask_intx() does, and its counterpart.
    board.set_config(4, 0b111 | 1 << 10);
    assert_eq!(line(&mut board), (true, true));
    bus.irqs.intx().lower();
    assert_eq!(line(&mut board), (true, false));
    bus.irqs.intx().raise().unwrap();
    assert_eq!(line(&mut board), (true, true));
    board.unmask_intx();
    assert_eq!(board.interrupts(0), 0, "it is disabled");
    board.set_config(4, 0b111);
    assert_eq!((line(&mut board), board.interrupts(0)), ((false, true), 1));
    // Read-only, and of the line alone.
    board.set_config(6, 0);
    assert_eq!(line(&mut board), (false, true));
    board.client.reset().unwrap();
    assert_eq!(line(&mut board), (false, false));
    board.enable(MSIX, 1);
    bus.irqs.any(0).raise().unwrap();
    assert_eq!(line(&mut board), (false, false), "a message is no level");
}

#[test]
fn timers_end_with_a_reset_and_with_the_connection() {
    let probe = Probe::new(BARE);
    let (bus, seen) = (Arc::clone(&probe.bus), Arc::clone(&probe.seen));
    let mut board = Board::with(probe);
    let timers = bus.lock().unwrap().timers.clone();
    let timer = TimerId(0);
    timers.start_periodic(timer, Duration::from_millis(1));
    wait("the timer", || seen.lock().unwrap().timers > 2);
    board.client.reset().unwrap();
    assert!(!timers.is_running(timer));
    timers.start_periodic(timer, Duration::from_millis(1));
    board.client.shutdown().unwrap();
    assert!(board.server.wait(Duration::from_secs(30)).is_some());
    let fired = seen.lock().unwrap().timers;
    timers.start(timer, Duration::ZERO);
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(seen.lock().unwrap().timers, fired, "nobody is called");
}

#[test]
fn two_devices_in_one_process_do_not_know_each_other() {
    let probe = |device| {
        let spec = DeviceSpec::new(Identity::new(0x1bed, device)).intx(IntxPin::A);
        Probe::new(spec)
    };
    let (one, other) = (probe(1), probe(2));
    let bus = Arc::clone(&one.bus);
    let (mut one, mut other) = (Board::with(one), Board::with(other));
    assert_eq!((one.config(0) >> 16, other.config(0) >> 16), (1, 2));
    one.enable(INTX, 1);
    other.enable(INTX, 1);
    let bus = bus.lock().unwrap().clone();
    bus.irqs.intx().raise().unwrap();
    bus.dma.write(GuestAddr(RAM_AT), b"mine").unwrap();
    assert_eq!((one.interrupts(0), other.interrupts(0)), (1, 0));
    assert_eq!(one.memory(RAM_AT, 4), b"mine");
    assert_eq!(other.memory(RAM_AT, 4), [0; 4]);
    one.client.shutdown().unwrap();
    assert!(one.server.wait(Duration::from_secs(30)).is_some());
    assert_eq!(other.config(0) >> 16, 2);
}

#[test]
fn the_functions_of_a_slot_are_served_at_numbered_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card");
    let function = |device| Probe::new(DeviceSpec::new(Identity::new(0x1bed, device)));
    let slot = Slot::default().function(function(7)).function(function(8));
    let mut served = slot.serve(&path).unwrap();
    let arguments = served.qemu_arguments(5);
    let [_, second, _, first] = &arguments[..] else {
        panic!("{arguments:?}");
    };
    assert!(
        second.contains(r#""addr":"5.1","multifunction":true"#),
        "{second}"
    );
    assert!(second.contains("card.1"), "{second}");
    assert!(
        first.contains(r#""addr":"5.0""#) && first.contains("card.0"),
        "{first}"
    );
    for (device, (server, socket)) in served.servers.drain(..).zip(&served.sockets).enumerate() {
        let mut board = Board::connect_to(socket, server);
        assert_eq!(board.config(0) >> 16, 7 + device as u32);
    }
}

#[test]
fn a_slot_is_served_as_a_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card");
    let impossible = BARE.bar(BarIndex::BAR0, Bar::trapped(3));
    let slot = Slot::default()
        .function(Probe::new(BARE))
        .function(Probe::new(impossible));
    let error = slot.serve(&path).unwrap_err();
    assert_eq!(error.to_string(), "function 1 cannot be served");
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.starts_with("BAR 0 is 0x3 bytes"), "{why}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    let nine = (0..9).fold(Slot::default(), |slot, _| slot.function(Probe::new(BARE)));
    assert!(nine.serve(&path).is_err());
}

#[test]
fn a_device_is_served_without_a_path_too() {
    let (server, _for_qemu) = serve(Probe::new(BARE)).unwrap();
    assert!(server.stop(Duration::from_secs(30)).is_some());
}
