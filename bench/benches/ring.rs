// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Raising an event into the memory of a guest: number, slot, payload, record,
//! stamp, last word, and the write to the eventfd.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use device_model::event::{Payload, Vector};
use irqbed_bench::client::{Bare, ENTRIES};

/// Events of a burst, with one interrupt.
const BURST: u32 = 64;

fn ring(criterion: &mut Criterion) {
    let bare = Bare::new().expect("a device");
    let vector = Vector::default();
    let mut group = criterion.benchmark_group("ring");
    for len in [0, 16, 4096] {
        // The area for payloads must not fill before the ring does.
        let lap = if len > 64 { BURST / 2 } else { ENTRIES };
        group.bench_function(BenchmarkId::new("raise", len), |bencher| {
            bencher.iter_custom(|events| {
                by_laps(&bare, events, lap, |count| {
                    for _ in 0..count {
                        bare.source
                            .raise(vector, Payload::Pattern(len))
                            .expect("an event");
                    }
                })
            });
        });
    }
    group.bench_function(BenchmarkId::new("raise_burst", BURST), |bencher| {
        bencher.iter_custom(|bursts| {
            by_laps(&bare, bursts, ENTRIES / BURST, |count| {
                for _ in 0..count {
                    bare.source
                        .raise_burst(vector, Payload::Pattern(16), BURST)
                        .expect("a burst");
                }
            })
        });
    });
    group.finish();
}

/// Times `raise` for so many iterations, at most `lap` at a time; the driver's
/// part, which makes room again, is not measured.
fn by_laps(bare: &Bare, iterations: u64, lap: u32, mut raise: impl FnMut(u64)) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let count = left.min(lap.into());
        let started = Instant::now();
        raise(count);
        spent += started.elapsed();
        bare.consume().expect("the instrument BAR");
        left -= count;
    }
    assert_eq!(bare.source.counters().ring_overflow, 0, "events were lost");
    spent
}

criterion_group!(benches, ring);
criterion_main!(benches);
