// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A round trip over vfio-user without QEMU: request, server, reply, between two
//! threads of one process.

use criterion::{Criterion, criterion_group, criterion_main};
use irqbed_abi::regs;
use irqbed_bench::client::Bare;

fn vfio_user(criterion: &mut Criterion) {
    let mut bare = Bare::new().expect("a device");
    let mut group = criterion.benchmark_group("vfio_user");
    group.bench_function("region_read", |bencher| {
        bencher.iter(|| bare.register(regs::REG_MAGIC).expect("a register"));
    });
    group.bench_function("region_write", |bencher| {
        bencher.iter(|| bare.set_register(regs::REG_SCRATCH, 1).expect("a register"));
    });
    group.bench_function("config_read", |bencher| {
        bencher.iter(|| bare.config(0).expect("the identity"));
    });
    group.finish();
}

criterion_group!(benches, vfio_user);
criterion_main!(benches);
