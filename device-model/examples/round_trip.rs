// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long a register read takes from client to server and back, without a
//! hypervisor: the servers of this crate and of the crate `vfio_user`, one
//! after the other, again and again, so that a change of the machine hits all.
//!
//! `cargo run --release -p device-model --example round_trip [ROUNDS]`

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use device_model::{
    Bar, BarIndex, DeviceSpec, Identity, Options, PciDevice, Server, vfio_user::Client,
};
use vfio_bindings::bindings::vfio::{
    VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE, vfio_region_info,
};
use vfio_user::{DmaMapFlags, DmaUnmapFlags, IrqInfo, ServerBackend, ServerRegion};

/// Reads of a server in each round.
const READS: usize = 2000;
/// How long a server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Size of the one region, bytes.
const SIZE: u64 = 0x1000;

/// Reads as 7, everywhere.
struct Device;

impl PciDevice for Device {
    fn spec(&self) -> DeviceSpec {
        let identity = Identity {
            vendor: 1,
            device: 1,
            revision: 0,
            class: [0xff, 0, 0],
            subsystem_vendor: 0,
            subsystem: 0,
        };
        let bar = BarIndex::new(0).expect("there is a BAR 0");
        DeviceSpec::new(identity).bar(bar, Bar::trapped(SIZE))
    }

    fn bar_read(&mut self, _: BarIndex, _: u64, data: &mut [u8]) {
        data.fill(7);
    }
}

impl ServerBackend for Device {
    fn region_read(&mut self, _: u32, _: u64, data: &mut [u8]) -> std::io::Result<()> {
        data.fill(7);
        Ok(())
    }

    fn region_write(&mut self, _: u32, _: u64, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }

    fn dma_map(
        &mut self,
        _: DmaMapFlags,
        _: u64,
        _: u64,
        _: u64,
        _: Option<std::fs::File>,
    ) -> std::io::Result<()> {
        Ok(())
    }

    fn dma_unmap(&mut self, _: DmaUnmapFlags, _: u64, _: u64) -> std::io::Result<()> {
        Ok(())
    }

    fn reset(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    fn set_irqs(
        &mut self,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: Vec<std::fs::File>,
    ) -> std::io::Result<()> {
        Ok(())
    }
}

fn ours(path: &Path, poll: Duration) -> Vec<Duration> {
    let options = Options::default().polling(poll);
    let server = Server::bind(path).expect("a socket").options(options);
    let server = server.serve(Device).expect("a server");
    let times = reads(path);
    let _ = server.join();
    times
}

fn of_the_crate(path: &Path) -> Vec<Duration> {
    let region = |index| ServerRegion {
        region_info: vfio_region_info {
            argsz: size_of::<vfio_region_info>() as u32,
            index,
            flags: VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
            size: SIZE,
            ..Default::default()
        },
        sparse_areas: Vec::new(),
        mmap_fd: None,
    };
    let irq = |index| IrqInfo {
        index,
        flags: 0,
        count: 0,
    };
    let (irqs, regions) = ((0..5).map(irq).collect(), (0..9).map(region).collect());
    let server = vfio_user::Server::new(path, true, irqs, regions).expect("a socket");
    let thread = thread::spawn(move || server.run(&mut Device));
    let times = reads(path);
    // How it ends is not what is measured.
    let _ = thread.join();
    times
}

fn reads(path: &Path) -> Vec<Duration> {
    let mut client = Client::connect(path, PATIENCE).expect("a session");
    let mut data = [0; 4];
    let mut read = || {
        let started = Instant::now();
        client.region_read(0, 0, &mut data).expect("a reply");
        started.elapsed()
    };
    (0..READS).for_each(|_| {
        let _ = read();
    });
    (0..READS).map(|_| read()).collect()
}

fn micros(sorted: &[Duration], percent: usize) -> f64 {
    let place = (sorted.len() * percent / 100).min(sorted.len() - 1);
    sorted[place].as_secs_f64() * 1e6
}

fn main() {
    let rounds = std::env::args().nth(1).map(|word| word.parse());
    let Ok(rounds) = rounds.unwrap_or(Ok(10_usize)) else {
        eprintln!("round_trip: the number of rounds is no number");
        std::process::exit(2);
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("device");
    type Peer = (&'static str, fn(&Path) -> Vec<Duration>);
    let peers: [Peer; 3] = [
        ("vfio_user crate", of_the_crate),
        ("device-model", |path| ours(path, Duration::ZERO)),
        ("device-model, polling 50 us", |path| {
            ours(path, Duration::from_micros(50))
        }),
    ];
    let mut times = peers.map(|_| Vec::new());
    for _ in 0..rounds.max(1) {
        for ((_, measure), times) in peers.iter().zip(&mut times) {
            times.extend(measure(&path));
        }
    }
    println!("a read of 4 bytes, µs           p10     p50     p90     p99");
    for ((name, _), times) in peers.iter().zip(&mut times) {
        times.sort();
        let [p10, p50, p90, p99] = [10, 50, 90, 99].map(|percent| micros(times, percent));
        println!("{name:<28}{p10:>7.1} {p50:>7.1} {p90:>7.1} {p99:>7.1}");
    }
}
