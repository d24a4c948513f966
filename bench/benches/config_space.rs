// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The configuration space alone: what an access costs once it has arrived.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use device_model::{PciDevice, config_space::ConfigSpace, event::EventDevice};

/// Identity, command register, first BAR.
const IDENTITY: u64 = 0x00;
const COMMAND: u64 = 0x04;
const BAR: u64 = 0x10;

fn config_space(criterion: &mut Criterion) {
    let device = EventDevice::new().expect("a device");
    let mut config = ConfigSpace::new(&device.spec()).expect("a possible device");
    let mut group = criterion.benchmark_group("config_space");
    let mut value = [0; 4];
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            config.read(black_box(IDENTITY), &mut value);
            value
        });
    });
    let mut whole = [0; device_model::config_space::CONFIG_SIZE];
    group.bench_function("read_all", |bencher| {
        bencher.iter(|| {
            config.read(black_box(0), &mut whole);
            whole[0]
        });
    });
    group.bench_function("write_command", |bencher| {
        bencher.iter(|| config.write(black_box(COMMAND), black_box(&[0b110, 0])));
    });
    group.bench_function("size_a_bar", |bencher| {
        bencher.iter(|| {
            config.write(black_box(BAR), &u32::MAX.to_le_bytes());
            config.read(BAR, &mut value);
            value
        });
    });
    group.finish();
}

criterion_group!(benches, config_space);
criterion_main!(benches);
