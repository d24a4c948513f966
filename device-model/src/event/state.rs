// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the event device remembers: its control registers, its rings, and the
//! account of what it raised.

use irqbed_abi::{
    pattern,
    pci::VECTORS,
    regs::{ABI_VERSION, CTRL_ENABLE, CTRL_RESET, MAGIC, STATUS_DMA_ERROR, STATUS_READY},
    ring::MAX_PAYLOAD,
    trace::SLOTS,
};

use super::{
    DeviceCounters, Instrument, RaiseError, Seq, Vector,
    registers::Register,
    reply::Replies,
    ring::{Geometry, Place, Producer},
};
use crate::dma::{Dma, GuestAddr};

/// One ring: what the driver wrote about it, and the producer while it is
/// armed.
#[derive(Debug, Default)]
pub(super) struct Ring {
    wanted: Geometry,
    /// Number of the first record when it is armed.
    first: u32,
    pub producer: Option<Producer>,
    /// By which an armed ring is written; terminated when it is disarmed.
    dma: Dma,
    /// The producer that a reset of the device ended: the driver may still take
    /// its records, until the ring is armed again.
    ended: Option<Producer>,
    /// Events lost since the reset.
    pub overflows: u32,
}

/// Longest payload, as the length of a slice.
const MAX_PAYLOAD_LEN: usize = MAX_PAYLOAD as usize;

/// Everything behind the device's one lock.
#[derive(Debug)]
pub(super) struct State {
    enabled: bool,
    dma_error: bool,
    scratch: u32,
    /// Bit `v` is set where INTx announces records of ring `v`.
    pub irq_status: u32,
    rings: [Ring; VECTORS as usize],
    /// Number of the last event; 0 before the first.
    pub last_seq: u64,
    pub counters: DeviceCounters,
    pub replies: Replies,
    /// Of a ring that there is not.
    no_memory: Dma,
    /// Where a pattern is made before it is copied to the guest.
    pattern: Box<[u8; MAX_PAYLOAD_LEN]>,
}

impl State {
    pub fn new() -> Self {
        Self {
            enabled: false,
            dma_error: false,
            scratch: 0,
            irq_status: 0,
            rings: Default::default(),
            last_seq: 0,
            counters: DeviceCounters::default(),
            replies: Replies::new(),
            no_memory: Dma::new(),
            pattern: Box::new([0; MAX_PAYLOAD_LEN]),
        }
    }

    pub fn is_ready(&self) -> bool {
        self.enabled && !self.dma_error
    }

    pub fn ring(&self, vector: Vector) -> Option<&Ring> {
        self.rings.get(vector.get() as usize)
    }

    pub fn ring_mut(&mut self, vector: Vector) -> Option<&mut Ring> {
        self.rings.get_mut(vector.get() as usize)
    }

    /// The producer of a vector, if events may be raised on it now.
    pub fn producer(&mut self, vector: Vector) -> Result<&mut Producer, RaiseError> {
        if self.dma_error {
            return Err(RaiseError::DmaStopped);
        }
        if !self.enabled {
            return Err(RaiseError::NotEnabled);
        }
        let producer = self
            .ring_mut(vector)
            .and_then(|ring| ring.producer.as_mut());
        producer.ok_or(RaiseError::NotArmed(vector))
    }

    /// The number of the next event, which is raised with that.
    pub fn next_seq(&mut self) -> Seq {
        self.counters.raised += 1;
        // At one event a nanosecond the numbers last for 584 years.
        self.last_seq = self.last_seq.wrapping_add(1);
        Seq(self.last_seq)
    }

    /// The memory of an armed ring, and the first `len` bytes of the pattern of an
    /// event.
    pub fn memory_and_pattern(&mut self, vector: Vector, seq: Seq, len: u32) -> (&Dma, &[u8]) {
        let bytes = self.pattern.get_mut(..len as usize).unwrap_or_default();
        pattern::fill(seq.get(), bytes);
        // There is a ring for each vector.
        let ring = self.rings.get(vector.get() as usize);
        (ring.map_or(&self.no_memory, |ring| &ring.dma), bytes)
    }

    /// An event found no room.
    pub fn count_overflow(&mut self, vector: Vector) {
        self.counters.ring_overflow += 1;
        if let Some(ring) = self.ring_mut(vector) {
            ring.overflows = ring.overflows.saturating_add(1);
        }
    }

    /// An event could not be written to the guest; nothing is raised any more.
    pub fn stop_after_dma_error(&mut self) {
        self.counters.dma_errors += 1;
        self.dma_error = true;
    }

    /// An event was written to its place.
    pub fn commit(&mut self, vector: Vector, place: Place) {
        self.counters.published += 1;
        let producer = self
            .ring_mut(vector)
            .and_then(|ring| ring.producer.as_mut());
        if let Some(producer) = producer {
            producer.commit(place);
        }
    }

    /// Bit `v` is set where that holds for ring `v`.
    fn mask(&self, holds: impl Fn(Vector, &Ring) -> bool) -> u32 {
        let rings = Vector::all().zip(&self.rings);
        rings
            .filter(|(vector, ring)| holds(*vector, ring))
            .fold(0, |mask, (vector, _)| mask | 1 << vector.get())
    }

    /// Bit `v` is set where ring `v` is armed.
    pub fn armed(&self) -> u32 {
        self.mask(|_, ring| ring.is_armed())
    }

    /// Bit `v` is set where ring `v` holds records that were not consumed.
    fn pending(&self, instrument: &Instrument) -> u32 {
        self.mask(|vector, ring| {
            let left = |producer: &Producer| producer.in_flight_at(instrument.consumer(vector));
            ring.producer.as_ref().map_or(0, left) > 0
        })
    }

    /// The account. What an ended ring holds is discarded, but for what its
    /// driver takes all the same.
    pub fn counters(&self, instrument: &Instrument) -> DeviceCounters {
        let rings = Vector::all().zip(&self.rings);
        let held = rings.map(|(vector, ring)| {
            let left = |producer: &Producer| producer.in_flight_at(instrument.consumer(vector));
            u64::from(ring.ended.as_ref().map_or(0, left))
        });
        DeviceCounters {
            discarded: self.counters.discarded + held.sum::<u64>(),
            ..self.counters
        }
    }

    /// Gives up what a ring still holds.
    fn discard(&mut self, vector: Vector, instrument: &Instrument) {
        let Some(ring) = self.ring_mut(vector) else {
            return;
        };
        ring.dma.terminate();
        let producers = [ring.ended.take(), ring.producer.take()];
        let consumer = instrument.consumer(vector);
        let held = producers.iter().flatten();
        let held: u64 = held
            .map(|producer| u64::from(producer.in_flight_at(consumer)))
            .sum();
        self.counters.discarded += held;
    }

    /// After power on, but for the numbers and the account, which run on.
    pub fn reset(&mut self, instrument: &Instrument) {
        self.enabled = false;
        self.dma_error = false;
        self.scratch = 0;
        self.irq_status = 0;
        for (vector, ring) in Vector::all().zip(&mut self.rings) {
            ring.dma.terminate();
            let mut ended = ring.producer.take().or(ring.ended.take());
            if let Some(producer) = &mut ended {
                // The memory of the index may go before anybody asks what was taken.
                producer.observe(instrument.consumer(vector));
            }
            *ring = Ring {
                ended,
                ..Ring::default()
            };
        }
    }

    pub fn read(&self, register: Register, instrument: &Instrument) -> u32 {
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        match register {
            Register::Magic => MAGIC,
            Register::Version => ABI_VERSION,
            Register::Vectors => VECTORS,
            Register::Slots => SLOTS,
            Register::MaxPayload => MAX_PAYLOAD,
            Register::Ctrl => flag(self.enabled, CTRL_ENABLE),
            Register::Status => {
                flag(self.is_ready(), STATUS_READY) | flag(self.dma_error, STATUS_DMA_ERROR)
            }
            Register::Scratch => self.scratch,
            Register::SelfRaise => 0,
            Register::IrqStatus => self.irq_status,
            Register::Pending => self.pending(instrument),
            Register::RecordsLo(vector)
            | Register::RecordsHi(vector)
            | Register::PayloadLo(vector)
            | Register::PayloadHi(vector)
            | Register::Entries(vector)
            | Register::PayloadSize(vector)
            | Register::Arm(vector)
            | Register::Overflows(vector)
            | Register::Next(vector) => {
                let ring = self.rings.get(vector as usize);
                ring.map_or(0, |ring| ring.read(register))
            }
        }
    }

    /// Changes a register. Returns the vector to raise an event on and the
    /// length of its payload, if that was asked for.
    pub fn write(
        &mut self,
        register: Register,
        value: u32,
        dma: &Dma,
        instrument: &Instrument,
    ) -> Option<(Vector, u32)> {
        match register {
            Register::Ctrl if value & CTRL_RESET != 0 => self.reset(instrument),
            Register::Ctrl => self.enabled = value & CTRL_ENABLE != 0,
            Register::Scratch => self.scratch = value,
            Register::SelfRaise => {
                return Vector::new(value & 0xffff).map(|vector| (vector, value >> 16));
            }
            Register::IrqStatus => self.irq_status &= !value,
            Register::RecordsLo(number)
            | Register::RecordsHi(number)
            | Register::PayloadLo(number)
            | Register::PayloadHi(number)
            | Register::Entries(number)
            | Register::PayloadSize(number)
            | Register::Arm(number)
            | Register::Overflows(number)
            | Register::Next(number) => {
                let vector = Vector::new(number)?;
                if register == Register::Arm(number) && value == 1 {
                    self.discard(vector, instrument);
                }
                if let Some(ring) = self.ring_mut(vector) {
                    ring.write(vector, register, value, dma, instrument);
                }
            }
            Register::Magic
            | Register::Version
            | Register::Vectors
            | Register::Slots
            | Register::MaxPayload
            | Register::Pending
            | Register::Status => {}
        }
        None
    }
}

impl Ring {
    fn is_armed(&self) -> bool {
        self.producer.as_ref().is_some_and(|p| !p.is_stopped())
    }

    fn read(&self, register: Register) -> u32 {
        let Geometry {
            records,
            payload,
            entries,
            payload_size,
        } = self.wanted;
        match register {
            Register::RecordsLo(_) => low(records),
            Register::RecordsHi(_) => high(records),
            Register::PayloadLo(_) => low(payload),
            Register::PayloadHi(_) => high(payload),
            Register::Entries(_) => entries,
            Register::PayloadSize(_) => payload_size,
            Register::Arm(_) => u32::from(self.is_armed()),
            Register::Overflows(_) => self.overflows,
            Register::Next(_) => self.producer.as_ref().map_or(self.first, Producer::next),
            _ => 0,
        }
    }

    fn write(
        &mut self,
        vector: Vector,
        register: Register,
        value: u32,
        dma: &Dma,
        instrument: &Instrument,
    ) {
        let wanted = &mut self.wanted;
        match register {
            Register::RecordsLo(_) => set_low(&mut wanted.records, value),
            Register::RecordsHi(_) => set_high(&mut wanted.records, value),
            Register::PayloadLo(_) => set_low(&mut wanted.payload, value),
            Register::PayloadHi(_) => set_high(&mut wanted.payload, value),
            Register::Entries(_) => wanted.entries = value,
            Register::PayloadSize(_) => wanted.payload_size = value,
            Register::Next(_) => self.first = value,
            Register::Arm(_) if value == 1 => self.arm(vector, dma, instrument),
            Register::Arm(_) => self.stop(),
            _ => {}
        }
    }

    /// Produces nothing more. When this returns, nothing is written to the ring
    /// any more, also not what a fault keeps back.
    fn stop(&mut self) {
        if let Some(producer) = &mut self.producer {
            producer.stop();
            self.dma.terminate();
        }
    }

    /// Arms a ring that is not, or leaves it so and says why.
    fn arm(&mut self, vector: Vector, dma: &Dma, instrument: &Instrument) {
        let producer = match Producer::new(self.wanted, self.first) {
            Ok(producer) => producer,
            Err(error) => {
                dma.recorder()
                    .warn(format_args!("ring {vector} is refused: {error}"));
                return;
            }
        };
        let Geometry {
            records,
            payload,
            payload_size,
            ..
        } = self.wanted;
        let reachable = dma
            .check_writable(records, self.wanted.records_len() as usize)
            .and_then(|()| dma.check_writable(payload, payload_size as usize));
        match reachable {
            Ok(()) => {
                instrument.set_consumer(vector, self.first);
                self.dma = dma.channel();
                self.producer = Some(producer);
            }
            Err(error) => dma
                .recorder()
                .warn(format_args!("ring {vector} is refused: {error}")),
        }
    }
}

fn low(address: GuestAddr) -> u32 {
    address.0 as u32
}

fn high(address: GuestAddr) -> u32 {
    (address.0 >> 32) as u32
}

fn set_low(address: &mut GuestAddr, value: u32) {
    address.0 = address.0 & !0xffff_ffff | u64::from(value);
}

fn set_high(address: &mut GuestAddr, value: u32) {
    address.0 = address.0 & 0xffff_ffff | u64::from(value) << 32;
}
