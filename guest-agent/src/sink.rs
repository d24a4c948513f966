// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What becomes of an event once a receiver has it: its trace slot is stamped,
//! order and payload are checked, and it is counted. The same for every way in
//! which an event can come.

use std::fmt::Write;

use irqbed_abi::{
    netlink::EventMessage,
    pattern,
    pci::VECTORS,
    ring::EVENT_PATTERN,
    trace::{SLOTS, VERDICT_BAD_PAYLOAD, VERDICT_OK, VERDICT_OUT_OF_ORDER},
};

use crate::{
    console::print_line,
    instrument::Instrument,
    repliers::replier::Replier,
    stats::{Figure, Stats},
    tsc::GuestTsc,
};

/// Most bytes of a payload printed for a person.
const SHOWN: usize = 60;

/// Takes events, one after the other.
pub struct Sink {
    checks: Checks,
    instrument: Option<Instrument>,
    replier: Option<Replier>,
    stamps: bool,
    /// Events received up to the last wake-up.
    seen: u64,
    print: bool,
}

#[derive(Debug)]
struct Checks {
    stats: Stats,
    /// The latest event of each vector.
    last: [u64; VECTORS as usize],
}

impl Sink {
    /// A sink that counts in `stats`, stamps in `instrument` where there is
    /// one, and prints each event if asked to.
    pub fn new(stats: Stats, instrument: Option<Instrument>, print: bool) -> Self {
        let checks = Checks {
            stats,
            last: [0; VECTORS as usize],
        };
        Self {
            checks,
            instrument,
            replier: None,
            stamps: true,
            seen: 0,
            print,
        }
    }

    /// Stamps in a BAR that only the receiver could map.
    pub fn stamp_in(&mut self, instrument: Instrument) {
        self.instrument = Some(instrument);
    }

    /// Has each event replied to from now on.
    pub fn reply_by(&mut self, replier: Replier) {
        self.replier = Some(replier);
    }

    /// Leaves the stamp out of the trace slots, and only judges.
    pub fn disable_stamps(&mut self) {
        self.stamps = false;
    }

    /// Takes an event that the receiver had in hand at `user`. The stamp is
    /// written first, the verdict last; the reply and all checks are in between.
    #[inline(always)]
    pub fn deliver(&mut self, user: GuestTsc, event: &EventMessage, payload: &[u8]) {
        let slot = self
            .instrument
            .as_ref()
            .and_then(|bar| bar.slot(event.slot, event.seq));
        if let Some(slot) = slot {
            if self.stamps {
                slot.stamp_user(user);
            }
            if let Some(replier) = &mut self.replier {
                self.checks.stats.count(Figure::Replies);
                if !replier(event, slot) {
                    self.checks.stats.count(Figure::RepliesUnsent);
                }
            }
        }
        let raised = self.instrument.as_ref().map(|_| slot.is_some());
        let verdict = self.checks.check(event, payload, raised);
        if let Some(slot) = slot {
            slot.close(verdict);
        }
        if self.print {
            // Over the shell's prompt, if there is one.
            print_line(&format!("\r{}", describe(event, payload)));
        }
    }

    /// Counts a datagram that was no event.
    pub fn count_malformed(&mut self) {
        self.checks.stats.count(Figure::Malformed);
    }

    /// Counts an `ENOBUFS`: the kernel dropped messages before this moment.
    pub fn count_overrun(&mut self) {
        self.checks.stats.count(Figure::OverrunSignals);
    }

    /// Counts an overflow of the queue of real-time signals.
    pub fn count_signal_overflow(&mut self) {
        self.checks.stats.count(Figure::SignalOverflows);
    }

    /// Counts a return of the call that waits. A receiver says so after it has
    /// delivered what the call brought: it is not part of what is measured.
    #[inline(always)]
    pub fn count_wake_up(&mut self) {
        self.checks.stats.count(Figure::WakeUps);
        self.seen = self.checks.stats.get(Figure::Received);
    }

    /// Counts the return of that call that brought the end, if it brought events
    /// as well.
    pub fn count_last_wake_up(&mut self) {
        if self.checks.stats.get(Figure::Received) != self.seen {
            self.count_wake_up();
        }
    }

    /// Counts notifications that came together with the one that woke.
    #[inline(always)]
    pub fn count_coalesced(&mut self, count: u64) {
        self.checks.stats.add(Figure::Coalesced, count);
    }

    /// Publishes the port id of the receiver.
    pub fn set_port_id(&self, port_id: u32) {
        self.checks.stats.set(Figure::PortId, u64::from(port_id));
    }

    /// Publishes what the kernel dropped at the receiver up to its end.
    pub fn set_drops(&self, drops: u64) {
        self.checks.stats.set(Figure::KernelDrops, drops);
    }
}

impl Checks {
    /// Checks and counts an event: its verdict. `raised` says whether its trace
    /// slot speaks of it; `None` to who does not see the slots.
    fn check(&mut self, event: &EventMessage, payload: &[u8], raised: Option<bool>) -> u32 {
        self.stats.count(Figure::Received);
        self.stats.set(Figure::LastSeq, event.seq);
        let Some(last) = self.last.get_mut(event.vector as usize) else {
            self.stats.count(Figure::Malformed);
            return VERDICT_BAD_PAYLOAD;
        };
        let in_order = event.seq > *last;
        let patterned = event.flags & EVENT_PATTERN != 0;
        let intact = payload.len() == event.payload_len as usize
            && (!patterned || pattern::matches(event.seq, payload));
        // A number that was damaged on its way must not put those behind it out
        // of order.
        let near = *last == 0 || event.seq.saturating_sub(*last) <= u64::from(SLOTS);
        if in_order && raised.unwrap_or(intact && near) {
            *last = event.seq;
        }
        if !in_order {
            self.stats.count(Figure::OutOfOrder);
        }
        if !intact {
            self.stats.count(Figure::BadPayload);
        }
        match (intact, in_order) {
            (false, _) => VERDICT_BAD_PAYLOAD,
            (true, false) => VERDICT_OUT_OF_ORDER,
            (true, true) => VERDICT_OK,
        }
    }
}

/// An event in one line, for a person.
fn describe(event: &EventMessage, payload: &[u8]) -> String {
    let mut line = format!(
        "irqbed: event {} vector {} ({} bytes)",
        event.seq,
        event.vector,
        payload.len()
    );
    let shown = payload.get(..SHOWN).unwrap_or(payload);
    let dots = if shown.len() < payload.len() {
        "..."
    } else {
        ""
    };
    let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    // Writing to a string cannot fail.
    let _ = match std::str::from_utf8(shown) {
        Ok("") => Ok(()),
        Ok(text) if shown.iter().all(printable) => write!(line, " \"{text}\"{dots}"),
        _ => {
            line.push(' ');
            let hex = |byte: &u8| write!(line, "{byte:02x}");
            shown
                .iter()
                .take(SHOWN / 2)
                .try_for_each(hex)
                .and_then(|()| {
                    let dots = if payload.len() > SHOWN / 2 { "..." } else { "" };
                    write!(line, "{dots}")
                })
        }
    };
    line
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use irqbed_abi::{control::ListenerReport, trace::VERDICT_NONE};
    use proptest::prelude::*;

    use super::*;
    use crate::instrument::tests::{assign, instrument, map, read};

    struct Bench {
        sink: Sink,
        bar: Instrument,
        stats: Stats,
        _file: OwnedFd,
    }

    fn bench() -> Bench {
        let (bar, file) = instrument();
        let (stats, memory) = Stats::create().expect("shared memory");
        let theirs = Stats::map(&memory).expect("the same memory");
        Bench {
            sink: Sink::new(theirs, Some(map(&file)), false),
            bar,
            stats,
            _file: file,
        }
    }

    fn patterned(seq: u64, vector: u32, len: usize) -> (EventMessage, Vec<u8>) {
        let mut payload = vec![0; len];
        pattern::fill(seq, &mut payload);
        let slot = u32::try_from(seq).expect("a small number");
        let payload_len = u32::try_from(len).expect("a short payload");
        (
            EventMessage {
                seq,
                slot,
                vector,
                payload_len,
                flags: EVENT_PATTERN,
            },
            payload,
        )
    }

    impl Bench {
        fn take(&mut self, seq: u64, vector: u32, spoil: impl FnOnce(&mut Vec<u8>)) -> (u64, u32) {
            let (event, mut payload) = patterned(seq, vector, 63);
            spoil(&mut payload);
            assign(&self.bar, event.slot, seq);
            self.sink.deliver(GuestTsc(1000 + seq), &event, &payload);
            read(&self.bar, event.slot)
        }
    }

    #[test]
    fn a_good_event_is_stamped_and_found_good() {
        let mut bench = bench();
        assert_eq!(bench.take(5, 2, |_| {}), (1005, VERDICT_OK));
        let expected = ListenerReport {
            received: 1,
            last_seq: 5,
            ..Default::default()
        };
        assert_eq!(bench.stats.report(0, false), expected);
    }

    #[test]
    fn a_flipped_bit_and_a_lost_byte_are_bad_payloads() {
        let mut bench = bench();
        assert_eq!(
            bench.take(1, 0, |payload| payload[62] ^= 1).1,
            VERDICT_BAD_PAYLOAD
        );
        assert_eq!(
            bench.take(2, 0, |payload| payload.truncate(62)).1,
            VERDICT_BAD_PAYLOAD
        );
        assert_eq!(bench.stats.get(Figure::BadPayload), 2);
    }

    #[test]
    fn order_counts_within_a_vector_only() {
        let mut bench = bench();
        assert_eq!(bench.take(7, 0, |_| {}).1, VERDICT_OK);
        assert_eq!(bench.take(6, 1, |_| {}).1, VERDICT_OK);
        assert_eq!(bench.take(5, 0, |_| {}).1, VERDICT_OUT_OF_ORDER);
        assert_eq!(bench.take(8, 0, |_| {}).1, VERDICT_OK);
        assert_eq!(bench.stats.get(Figure::OutOfOrder), 1);
    }

    #[test]
    fn a_slot_that_speaks_of_another_event_is_left_alone() {
        let mut bench = bench();
        let (event, payload) = patterned(3, 0, 16);
        assign(&bench.bar, event.slot, 4);
        bench.sink.deliver(GuestTsc(1), &event, &payload);
        assert_eq!(read(&bench.bar, event.slot), (0, VERDICT_NONE));
        assert_eq!(bench.stats.get(Figure::Received), 1);
    }

    #[test]
    fn a_damaged_number_does_not_put_those_behind_it_out_of_order() {
        let mut bench = bench();
        assert_eq!(bench.take(5, 0, |_| {}).1, VERDICT_OK);
        // The slot of event 6 speaks of event 6, whatever the record says.
        for bit in [4, 40] {
            let (mut event, payload) = patterned(6, 0, 16);
            assign(&bench.bar, event.slot, 6);
            event.seq ^= 1 << bit;
            bench.sink.deliver(GuestTsc(1), &event, &payload);
        }
        assert_eq!(bench.take(7, 0, |_| {}).1, VERDICT_OK);
        let report = bench.stats.report(0, false);
        assert_eq!((report.bad_payload, report.out_of_order), (2, 0));
    }

    #[test]
    fn nor_does_it_to_who_sees_no_slots() {
        let (stats, memory) = Stats::create().expect("shared memory");
        let theirs = Stats::map(&memory).expect("the same memory");
        let mut sink = Sink::new(theirs, None, false);
        let mut take = |seq, flags| {
            let (event, payload) = patterned(6, 0, 16);
            let event = EventMessage {
                seq,
                flags,
                ..event
            };
            sink.deliver(GuestTsc(1), &event, &payload);
        };
        // What carries no pattern is believed as far as it can be.
        let far = 8 + u64::from(SLOTS);
        for (seq, flags) in [(7, 0), (100, EVENT_PATTERN), (far, 0), (8, 0), (far, 0)] {
            take(seq, flags);
        }
        assert_eq!(stats.get(Figure::OutOfOrder), 0);
        take(8, 0);
        assert_eq!(stats.get(Figure::OutOfOrder), 1);
    }

    #[test]
    fn a_person_reads_text_where_it_is_text() {
        let event = EventMessage {
            seq: 12,
            vector: 3,
            ..Default::default()
        };
        assert_eq!(
            describe(&event, b"hello"),
            "irqbed: event 12 vector 3 (5 bytes) \"hello\""
        );
        assert_eq!(describe(&event, b""), "irqbed: event 12 vector 3 (0 bytes)");
        assert_eq!(
            describe(&event, b"\x1b["),
            "irqbed: event 12 vector 3 (2 bytes) 1b5b"
        );
        assert!(describe(&event, &[b'a'; 61]).ends_with("aaa\"..."));
        assert!(describe(&event, &[0; 4096]).len() < 120);
    }

    #[test]
    fn who_only_judges_leaves_no_stamp() {
        let mut bench = bench();
        bench.sink.disable_stamps();
        assert_eq!(bench.take(5, 2, |_| {}), (0, VERDICT_OK));
    }

    proptest! {
        #[test]
        fn any_payload_is_one_printable_line(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let line = describe(&EventMessage::default(), &payload);
            prop_assert!(line.len() < 130 && line.bytes().all(|b| (b' '..0x7f).contains(&b)));
        }

        #[test]
        fn any_event_is_taken_without_panic(seq: u64, slot: u32, vector: u32, payload_len: u32, flags: u32) {
            let event = EventMessage { seq, slot, vector, payload_len, flags };
            bench().sink.deliver(GuestTsc(0), &event, b"x");
        }
    }
}
