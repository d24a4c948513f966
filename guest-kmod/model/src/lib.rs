// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The algorithm by which the driver takes records (`irqbed_ring_consumer.h`),
//! compiled for the host as it is, and in variants that have a fault each. The
//! tests run it against a model of a device that does everything wrong.

use irqbed_abi::ring::EventRecord;
use zerocopy::IntoBytes;

/// A record that was taken.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// The event it says it is of.
    pub seq: u64,
    /// Its number in the ring.
    pub number: u32,
    /// 1 where its fields are indices that can be used.
    pub valid: u32,
}

/// What the watchdog makes of a ring: `enum irqbed_ring_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing to take.
    Idle,
    /// Records were taken since the last poll, and there are more.
    Moving,
    /// There are records, and it is too soon to worry.
    Waiting,
    /// A complete record that nobody takes.
    Unannounced,
    /// A record that does not become complete.
    Hole,
}

/// `struct ring` of `ring.c`.
#[repr(C)]
pub struct Opaque {
    _private: [u8; 0],
}

/// The functions of one variant.
#[allow(missing_docs, reason = "they are named as in irqbed_ring_consumer.h")]
#[derive(Clone, Copy)]
pub struct Functions {
    pub name: &'static str,
    new: unsafe extern "C" fn(u32, u32, u32, u32) -> *mut Opaque,
    free: unsafe extern "C" fn(*mut Opaque),
    write: unsafe extern "C" fn(*mut Opaque, u32, *const u8, u32),
    next: unsafe extern "C" fn(*const Opaque) -> u32,
    shared: unsafe extern "C" fn(*const Opaque) -> u32,
    set_shared: unsafe extern "C" fn(*mut Opaque, u32),
    missing: unsafe extern "C" fn(*const Opaque) -> u64,
    take_taken: unsafe extern "C" fn(*mut Opaque, *mut Taken, u64) -> u64,
    drain: unsafe extern "C" fn(*mut Opaque) -> u32,
    end: unsafe extern "C" fn(*const Opaque) -> u32,
    salvage: unsafe extern "C" fn(*mut Opaque, u32),
    rearm: unsafe extern "C" fn(*mut Opaque) -> u32,
    poll: unsafe extern "C" fn(*mut Opaque, u32, u64, u64) -> u32,
}

macro_rules! variant {
    ($constant:ident, $name:literal) => {
        /// The functions of this variant.
        pub const $constant: Functions = {
            unsafe extern "C" {
                #[link_name = concat!($name, "_new")]
                fn new(entries: u32, area: u32, max_payload: u32, slots: u32) -> *mut Opaque;
                #[link_name = concat!($name, "_free")]
                fn free(ring: *mut Opaque);
                #[link_name = concat!($name, "_write")]
                fn write(ring: *mut Opaque, offset: u32, data: *const u8, len: u32);
                #[link_name = concat!($name, "_next")]
                fn next(ring: *const Opaque) -> u32;
                #[link_name = concat!($name, "_shared")]
                fn shared(ring: *const Opaque) -> u32;
                #[link_name = concat!($name, "_set_shared")]
                fn set_shared(ring: *mut Opaque, index: u32);
                #[link_name = concat!($name, "_missing")]
                fn missing(ring: *const Opaque) -> u64;
                #[link_name = concat!($name, "_take_taken")]
                fn take_taken(ring: *mut Opaque, into: *mut Taken, most: u64) -> u64;
                #[link_name = concat!($name, "_drain")]
                fn drain(ring: *mut Opaque) -> u32;
                #[link_name = concat!($name, "_end")]
                fn end(ring: *const Opaque) -> u32;
                #[link_name = concat!($name, "_salvage")]
                fn salvage(ring: *mut Opaque, end: u32);
                #[link_name = concat!($name, "_rearm")]
                fn rearm(ring: *mut Opaque) -> u32;
                #[link_name = concat!($name, "_poll")]
                fn poll(ring: *mut Opaque, pending: u32, now: u64, patience: u64) -> u32;
            }
            Functions {
                name: $name,
                new,
                free,
                write,
                next,
                shared,
                set_shared,
                missing,
                take_taken,
                drain,
                end,
                salvage,
                rearm,
                poll,
            }
        };
    };
}

variant!(REAL, "real");
variant!(NUMBER_IGNORED, "number_ignored");
variant!(READY_IGNORED, "ready_ignored");
variant!(NUMBERS_AGAIN, "numbers_again");
variant!(HOLE_NOT_COUNTED, "hole_not_counted");
variant!(HOLE_NOT_SEEN, "hole_not_seen");
variant!(LOST_INTERRUPT_NOT_SEEN, "lost_interrupt_not_seen");
variant!(INDEX_NOT_TOLD, "index_not_told");
variant!(TAKEN_AGAIN, "taken_again");
variant!(SALVAGE_STOPS_AT_A_HOLE, "salvage_stops_at_a_hole");

/// Those with a fault.
pub const MUTATIONS: [Functions; 9] = [
    NUMBER_IGNORED,
    READY_IGNORED,
    NUMBERS_AGAIN,
    HOLE_NOT_COUNTED,
    HOLE_NOT_SEEN,
    LOST_INTERRUPT_NOT_SEEN,
    INDEX_NOT_TOLD,
    TAKEN_AGAIN,
    SALVAGE_STOPS_AT_A_HOLE,
];

/// Size of a record, bytes.
const RECORD: u32 = size_of::<EventRecord>() as u32;

/// A ring of the driver, and its memory.
pub struct Ring {
    functions: Functions,
    ring: *mut Opaque,
    entries: u32,
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: it was made by `new` of the same variant, and nobody has it
        // any more.
        unsafe { (self.functions.free)(self.ring) }
    }
}

/// Calls a function of the ring's variant.
macro_rules! call {
    ($ring:expr, $function:ident $(, $argument:expr)*) => {
        // SAFETY: the ring is one of this variant and is borrowed; the functions
        // take numbers, and check no more than they need.
        unsafe { ($ring.functions.$function)($ring.ring $(, $argument)*) }
    };
}

impl Ring {
    /// An empty one with as many entries, a power of two.
    #[must_use]
    pub fn new(functions: Functions, entries: u32, slots: u32) -> Self {
        assert!(entries.is_power_of_two(), "{entries}");
        // SAFETY: the function takes numbers, and aborts without memory.
        let ring = unsafe { (functions.new)(entries, 8192, 4096, slots) };
        Self {
            functions,
            ring,
            entries,
        }
    }

    /// Size of its records, bytes.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.entries * RECORD
    }

    /// A write of the device. What is not inside of the records is lost.
    pub fn write(&mut self, offset: u32, data: &[u8]) {
        for (at, byte) in (u64::from(offset)..).zip(data) {
            if at < u64::from(self.size()) {
                let at = at as u32;
                // SAFETY: one byte, inside of the records.
                unsafe { (self.functions.write)(self.ring, at, byte, 1) }
            }
        }
    }

    /// The record at the index of a number, as the device writes it.
    pub fn write_record(&mut self, record: &EventRecord) {
        let index = record.number & (self.entries - 1);
        self.write(index * RECORD, record.as_bytes());
    }

    /// Number of the record to take next.
    #[must_use]
    pub fn next(&self) -> u32 {
        call!(self, next)
    }

    /// The consumer index that the device reads.
    #[must_use]
    pub fn shared(&self) -> u32 {
        call!(self, shared)
    }

    /// The device writes the index when the ring is armed.
    pub fn set_shared(&mut self, index: u32) {
        call!(self, set_shared, index);
    }

    /// Records that were passed over.
    #[must_use]
    pub fn missing(&self) -> u64 {
        call!(self, missing)
    }

    /// What was taken since the last call.
    pub fn taken(&mut self) -> Vec<Taken> {
        let mut all = Vec::new();
        let mut some = [Taken::default(); 64];
        loop {
            // SAFETY: there is room for as many.
            let count = unsafe { (self.functions.take_taken)(self.ring, some.as_mut_ptr(), 64) };
            all.extend_from_slice(&some[..count as usize]);
            if count < 64 {
                return all;
            }
        }
    }

    /// `irqbed_consumer_drain()`.
    pub fn drain(&mut self) -> u32 {
        call!(self, drain)
    }

    /// `irqbed_consumer_end()`.
    #[must_use]
    pub fn end(&self) -> u32 {
        call!(self, end)
    }

    /// `irqbed_consumer_salvage()`.
    pub fn salvage(&mut self, end: u32) {
        call!(self, salvage, end);
    }

    /// `irqbed_consumer_rearm()`.
    pub fn rearm(&mut self) -> u32 {
        call!(self, rearm)
    }

    /// `irqbed_ring_poll()`.
    pub fn poll(&mut self, pending: bool, now: u64, patience: u64) -> State {
        match call!(self, poll, u32::from(pending), now, patience) {
            0 => State::Idle,
            1 => State::Moving,
            2 => State::Waiting,
            3 => State::Unannounced,
            _ => State::Hole,
        }
    }
}
