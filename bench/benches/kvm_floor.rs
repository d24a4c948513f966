// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An irqfd write to the first instruction of a handler in a guest on KVM, and
//! back: the limit that the machine sets. Skipped, with the reason, where KVM
//! cannot do that.

use std::time::Duration;

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use irqbed_bench::kvm_floor::MicroGuest;

fn kvm_floor(criterion: &mut Criterion) {
    let mut guest = match MicroGuest::start() {
        Ok(guest) => guest,
        Err(error) => {
            eprintln!("kvm_floor is skipped: {error}");
            return;
        }
    };
    let mut group = criterion.benchmark_group("kvm_floor");
    group
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(3))
        .sample_size(30);
    group.bench_function("irqfd_to_handler", |bencher| {
        bencher.iter_custom(|interrupts| {
            (0..interrupts)
                .map(|_| guest.interrupt().unwrap_or_else(|error| panic!("{error}")))
                .sum()
        });
    });
    group.finish();
}

criterion_group!(benches, kvm_floor);
criterion_main!(benches);
