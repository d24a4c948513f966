// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mapping and unmapping a page of the guest's memory while others are mapped, as
//! many as a virtual IOMMU has for a busy device: what a page costs must not grow
//! with their number.

use std::fs::File;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use device_model::{Dma, GuestAddr};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

const PAGE: u64 = 4096;

fn dma_map(criterion: &mut Criterion) {
    let memory = memfd_create("guest-ram", MemfdFlags::CLOEXEC).expect("memory");
    let memory = File::from(memory);
    let mut group = criterion.benchmark_group("dma_map");
    for pages in [16, 1024, 32_768_u64] {
        ftruncate(&memory, (2 * pages + 2) * PAGE).expect("its length");
        let dma = Dma::new();
        // Every other page, as pages side by side are one to the system.
        for page in 0..pages {
            let file = memory.try_clone().expect("a descriptor");
            let place = 2 * page * PAGE;
            dma.map(GuestAddr(place), PAGE, Some((file, place)), true)
                .expect("a page");
        }
        let place = (pages | 1) * PAGE;
        group.bench_function(BenchmarkId::new("map_and_unmap", pages), |bencher| {
            bencher.iter_batched(
                || memory.try_clone().expect("a descriptor"),
                |file| {
                    dma.map(GuestAddr(place), PAGE, Some((file, place)), true)
                        .expect("one more page");
                    dma.unmap(GuestAddr(place), PAGE).expect("its end");
                },
                // Each is open at the same time.
                BatchSize::NumIterations(100),
            );
        });
    }
    group.finish();
}

criterion_group!(benches, dma_map);
criterion_main!(benches);
