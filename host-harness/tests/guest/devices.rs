// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the device library promises, seen from a guest: I/O ports, wide and mixed
//! BARs, several functions in a slot, resets, D3hot, capabilities of a device's
//! own, a line that a stock driver shares. Most functions have no driver: a shell
//! uses them by what the kernel shows of every device.

use std::{
    fs::File,
    sync::{Arc, Mutex, MutexGuard, atomic::Ordering},
};

use device_model::{
    Area, Bar, BarIndex, DeviceSpec, ExtendedCapability, Identity, IntxPin, OwnCapability,
    PciDevice, PowerManagement, PowerState, ResetKind, SharedMemory, Slot, VendorCapability,
    edu::EduDevice, slot::ServedSlot,
};
use irqbed_machine::{
    qemu::{Beside, ClockKind, Connections},
    session::Guest,
};

use crate::support::{artefacts, machine};

/// Where the guest finds the functions.
const SLOT: u8 = 5;

/// What has been done to a device.
#[derive(Debug, Default)]
struct Seen {
    writes: Vec<(BarIndex, u64, Vec<u8>)>,
    power: Vec<PowerState>,
    resets: Vec<ResetKind>,
    capabilities: Vec<(OwnCapability, Vec<u8>)>,
}

/// A device of any shape: what is trapped keeps what is written, up to a reset.
struct Probe {
    spec: DeviceSpec,
    trapped: Vec<(BarIndex, u64, u8)>,
    seen: Arc<Mutex<Seen>>,
}

impl Probe {
    fn new(spec: DeviceSpec) -> Self {
        Self {
            spec,
            trapped: Vec::new(),
            seen: Arc::default(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no test panics with it")
    }
}

impl PciDevice for Probe {
    fn spec(&self) -> DeviceSpec {
        self.spec.clone()
    }

    fn bar_read(&mut self, bar: BarIndex, offset: u64, data: &mut [u8]) {
        for (at, byte) in (offset..).zip(data) {
            let mut kept = self.trapped.iter().rev();
            let found = kept.find(|(of, place, _)| (*of, *place) == (bar, at));
            *byte = found.map_or(0, |(_, _, value)| *value);
        }
    }

    fn bar_write(&mut self, bar: BarIndex, offset: u64, data: &[u8]) {
        self.seen().writes.push((bar, offset, data.to_vec()));
        let bytes = (offset..).zip(data);
        self.trapped
            .extend(bytes.map(|(at, byte)| (bar, at, *byte)));
    }

    fn capability_write(&mut self, capability: OwnCapability, data: &mut [u8]) {
        let written = (capability, data.to_vec());
        self.seen().capabilities.push(written);
        // The command is carried out, and its answer stands behind it.
        data[1] = !data[0];
        data[0] = 0;
    }

    fn power(&mut self, state: PowerState) {
        self.seen().power.push(state);
    }

    fn reset(&mut self, kind: ResetKind) {
        self.trapped.clear();
        self.seen().resets.push(kind);
    }
}

const MIXED_PAGE: Area = Area {
    offset: 0x1000,
    size: 0x1000,
};

/// Ports, memory of 64 bits, and a BAR that is both registers and memory.
fn conventional(wide: &SharedMemory, mixed: &SharedMemory) -> DeviceSpec {
    DeviceSpec::new(Identity::new(0x1bed, 0x0f00))
        .bar(BarIndex::BAR0, Bar::io_ports(32))
        .bar(
            BarIndex::BAR2,
            Bar::mapped(wide.file(), 0x10_0000).wide().prefetchable(),
        )
        .bar(
            BarIndex::BAR4,
            Bar::mapped(mixed.file(), 0x4000).areas(vec![MIXED_PAGE]),
        )
        .intx(IntxPin::A)
}

/// Whatever a PCI Express function has in its configuration space.
fn express() -> DeviceSpec {
    DeviceSpec::new(Identity::new(0x1bed, 0x0f01))
        .bar(BarIndex::BAR0, Bar::trapped(0x1000))
        .power(PowerManagement::default())
        .express()
        .vendor(VendorCapability::new([0, 0, 0x77]).writable([0xff]))
        .extended(ExtendedCapability::serial_number(0x0123_4567_89ab_cdef))
}

/// Functions that the shell in the guest has in its variables.
const FUNCTIONS: &str = r#"
set -eu
f0=/sys/bus/pci/devices/0000:00:05.0 f1=/sys/bus/pci/devices/0000:00:05.1
echo 1 >$f0/enable; echo 1 >$f1/enable
bar() { sed -n "$(($2 + 1))p" $1/resource | cut -d ' ' -f 1; }
flags() { sed -n "$(($2 + 1))p" $1/resource | cut -d ' ' -f 3; }
get() { dd if=$1 bs=$3 skip=$(($2 / $3)) count=1 2>/dev/null | od -A n -t x$3 | tr -d ' '; }
put() { printf "$3" | dd of=$1 bs=$4 seek=$(($2 / $4)) conv=notrunc 2>/dev/null; }
capability() {
  at=$(get $1/config 0x34 1)
  while [ $at != 00 ]; do
    [ $(get $1/config 0x$at 1) != $2 ] || { echo 0x$at; return; }
    at=$(get $1/config $((0x$at + 1)) 1)
  done
}
"#;

struct Card {
    // QEMU goes before the devices it is connected to.
    guest: Guest,
    _slot: ServedSlot,
}

impl Card {
    /// Boots a guest that has the functions in one slot.
    fn boot(slot: Slot) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let slot = slot.serve(&folder.path().join("card")).expect("served");
        let connections = Connections {
            beside: Some(Beside {
                arguments: slot.qemu_arguments(SLOT),
                descriptor: File::open("/dev/null").expect("it is there").into(),
            }),
            ..Connections::default()
        };
        let guest = Guest::boot(&artefacts(), &machine(ClockKind::Wall), connections);
        Self {
            guest: guest.expect("the guest boots"),
            _slot: slot,
        }
    }

    /// Runs a script: what it prints.
    #[track_caller]
    fn run(&mut self, script: &str) -> String {
        let script = format!("{FUNCTIONS}{script}");
        let (status, stdout, stderr) = self.guest.run(&["sh", "-c", &script]).expect("sh runs");
        assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
        stdout
    }
}

#[test]
fn ports_wide_and_mixed_bars_and_both_functions_of_a_slot_work_in_a_guest() {
    let wide = SharedMemory::new("wide", 0x10_0000).expect("memory");
    let mixed = SharedMemory::new("mixed", 0x4000).expect("memory");
    let (first, second) = (
        Probe::new(conventional(&wide, &mixed)),
        Probe::new(express()),
    );
    let (seen, of_second) = (Arc::clone(&first.seen), Arc::clone(&second.seen));
    let mut card = Card::boot(Slot::default().function(first).function(second));
    let take = |seen: &Mutex<Seen>| std::mem::take(&mut *seen.lock().expect("no panic"));
    // QEMU resets what it finds.
    assert!(!take(&seen).resets.is_empty());

    // Two functions, and function 0 says so.
    let found = card.run("get $f0/config 0x0e 1; cat $f0/device $f1/device");
    assert_eq!(found, "80\n0x0f00\n0x0f01\n");

    // Ports: 4, 2 and 1 bytes, by the kernel and as a process has them.
    let found = card.run(
        r"put $f0/resource0 4 '\x78\x56\x34\x12' 4
        get $f0/resource0 4 4; get $f0/resource0 6 2; get $f0/resource0 7 1
        put /dev/port $(($(bar $f0 0) + 31)) '\x5a' 1
        get /dev/port $(($(bar $f0 0) + 7)) 1; get $f0/resource0 31 1
        flags $f0 0; flags $f0 2; flags $f0 4",
    );
    let lines: Vec<_> = found.lines().collect();
    assert_eq!(lines[..5], ["12345678", "1234", "12", "12", "5a"]);
    let flags: Vec<_> = lines[5..]
        .iter()
        .map(|text| u64::from_str_radix(&text[2..], 16).expect("a number"))
        .collect();
    // IORESOURCE_IO and _MEM, _PREFETCH, _MEM_64 (linux/ioport.h).
    let kinds: Vec<_> = flags.iter().map(|flags| flags & 0x10_2300).collect();
    assert_eq!(kinds, [0x100, 0x10_2200, 0x200]);
    let ports = [(4, vec![0x78, 0x56, 0x34, 0x12]), (31, vec![0x5a])];
    assert_eq!(
        take(&seen).writes,
        ports.map(|(at, bytes)| (BarIndex::BAR0, at, bytes))
    );

    // Memory goes by the device, and its traps do not.
    wide.store_u64(0xf_fff8, 0x1122_3344_5566_7788, Ordering::Release);
    mixed.store_u32(0x1ffc, 0xfeed_f00d, Ordering::Release);
    let found = card.run(
        "wide=$(bar $f0 2) mixed=$(bar $f0 4)
        devmem $((wide + 0xffff8)) 64; devmem $((wide + 8)) 64 0x0102030405060708
        devmem $((mixed + 0x1ffc)) 32; devmem $((mixed + 0x1000)) 32 0x600dcafe
        devmem $((mixed + 0x2000)) 32 0xc0ffee; devmem $((mixed + 0x2000)) 32",
    );
    assert_eq!(found, "0x1122334455667788\n0xFEEDF00D\n0x00C0FFEE\n");
    let word = wide.load_u64(8, Ordering::Acquire);
    assert_eq!(word, 0x0102_0304_0506_0708);
    assert_eq!(mixed.load_u32(0x1000, Ordering::Acquire), 0x600d_cafe);
    assert_eq!(mixed.load_u32(0x2000, Ordering::Acquire), 0);
    let trapped = (BarIndex::BAR4, 0x2000, vec![0xee, 0xff, 0xc0, 0]);
    assert_eq!(take(&seen).writes, [trapped]);

    // A function is reset by its own means, and the other one is not.
    take(&of_second);
    let found = card.run(
        "grep -o af_flr $f0/reset_method; grep -ow flr $f1/reset_method
        devmem $(bar $f1 0) 32 0x1234
        echo 1 >$f0/reset; get $f0/resource0 4 4; devmem $(bar $f1 0) 32
        echo 1 >$f1/reset; devmem $(bar $f1 0) 32",
    );
    assert_eq!(found, "af_flr\nflr\n00000000\n0x00001234\n0x00000000\n");
    assert!(take(&seen).resets.contains(&ResetKind::Function));
    let resets = take(&of_second).resets;
    assert!(resets.contains(&ResetKind::Function), "{resets:?}");

    // 4 KiB of configuration space, with what is beyond the first 256 bytes.
    let found = card.run(
        "wc -c <$f1/config; wc -c <$f0/config
        get $f1/config 0x100 4; get $f1/config 0x104 4; get $f1/config 0x108 4",
    );
    assert_eq!(found, "4096\n256\n00010003\n89abcdef\n01234567\n");

    // What is asleep does not answer, and has forgotten nothing when it wakes.
    let found = card.run(
        r"power=$(($(capability $f1 01) + 4)) bar=$(bar $f1 0)
        devmem $bar 32 0x5eed
        put $f1/config $power '\x03' 1; devmem $bar 32; get $f1/config $power 1
        put $f1/config $power '\x00' 1; devmem $bar 32",
    );
    // QEMU takes the BAR away meanwhile, and reads zero where nothing is.
    assert_eq!(found, "0x00000000\n0b\n0x00005EED\n");
    let slept = take(&of_second);
    assert_eq!(slept.power, [PowerState::D3hot, PowerState::D0]);
    assert_eq!(slept.resets, []);

    // A capability of its own is a way to talk to the device.
    let found = card.run(
        r"own=$(capability $f1 09)
        put $f1/config $((own + 3)) '\x2d' 1
        get $f1/config $((own + 3)) 1; get $f1/config $((own + 4)) 1; get $f1/config $((own + 5)) 1",
    );
    assert_eq!(found, "00\nd2\n77\n");
    let told = (OwnCapability::Vendor(0), vec![0x2d, 0, 0x77]);
    assert_eq!(take(&of_second).capabilities, [told]);
    card.guest.power_off().expect("the guest ends");
}

#[test]
fn the_stock_driver_of_uio_hears_of_a_line_by_its_status() {
    let slot = Slot::default().function(EduDevice::new());
    let mut card = Card::boot(slot.function(Probe::new(express())));
    let found = card.run(
        r#"
        insmod /lib/modules/uio.ko
        insmod /lib/modules/uio_pci_generic.ko
        id="$(cut -c 3- $f0/vendor) $(cut -c 3- $f0/device)"
        echo "$id" >/sys/bus/pci/drivers/uio_pci_generic/new_id
        bar=$(bar $f0 0)
        # The line may interrupt.
        enable() { put $f0/config 5 '\0' 1; }
        # Disabled by the handler, and then still asserted.
        state() { echo "$(get $f0/config 4 2) $(get $f0/config 6 2)"; }
        # What happens from here on counts for its reads.
        exec 3</dev/uio0
        enable; state
        for count in 1 2; do
          devmem $((bar + 0x60)) 32 5
          timeout 60 dd bs=4 count=1 <&3 2>/dev/null | od -A n -t d4 | tr -d ' '; state
          devmem $((bar + 0x64)) 32 5; state
          enable
        done
        for irq in /proc/irq/*/uio_pci_generic; do sed -n 's/^unhandled //p' ${irq%/*}/spurious; done
        dmesg | grep 'nobody cared' || true
        "#,
    );
    // Memory (0x2), INTx disabled (0x400); capabilities (0x10), interrupt (0x8).
    let round = "0402 0018\n0402 0010\n";
    assert_eq!(found, format!("0002 0010\n1\n{round}2\n{round}0\n"));
}
