// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Raising an event allocates nothing: an allocator that counts says so.

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use common::Guest;
use device_model::event::{Outcome, Payload, Vector};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are the ones asked for here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the ones asked for here.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn raising_an_event_allocates_nothing() {
    let mut guest = Guest::boot();
    guest.arm(0, 4, 16384);
    guest.enable();
    let (source, bytes) = (guest.source.clone(), [7; 100]);
    let vector = Vector::default();
    let before = ALLOCATIONS.get();
    assert_ne!(before, 0, "the allocator counts");
    let outcomes = [
        source.raise(vector, Payload::Pattern(4096)),
        source.raise(vector, Payload::Bytes(&bytes)),
        source.raise(vector, Payload::Bytes(&[])),
        source.raise(vector, Payload::Pattern(64)),
        source.raise(vector, Payload::Pattern(64)),
    ];
    assert_eq!(ALLOCATIONS.get(), before);
    let lost = outcomes.map(|raised| raised.unwrap().outcome == Outcome::RingOverflow);
    assert_eq!(lost, [false, false, false, false, true]);
}
