// SPDX-License-Identifier: GPL-2.0
/*
 * The path of an event: interrupt, record, trace stamps, notifier.
 *
 * Every instruction here is part of what irqbed measures, so what can be
 * prepared is prepared before the first one, in irqbed_rings.c.
 */
#include <linux/compiler.h>
#include <linux/string.h>

#include <asm/barrier.h>

#include "irqbed.h"
#include "irqbed_delay.h"
#include "irqbed_record.h"
#include "irqbed_stamp.h"
#include "notify.h"

/*
 * Stamps one event and hands it to the notifier. Initialised where it is
 * declared, or the compiler would clear it first.
 */
static __always_inline void irqbed_hand_on(struct irqbed_ring *ring,
					   const struct irqbed_event_record *record,
					   u32 offset, u32 len, u32 slot,
					   u64 stamp)
{
	struct irqbed_trace_slot *trace = &ring->trace[slot];
	struct irqbed_event event = {
		.message = {
			.seq = READ_ONCE(record->seq),
			.slot = slot,
			.vector = ring->vector,
			.payload_len = len,
			.flags = READ_ONCE(record->flags),
		},
		.payload = ring->payloads + offset,
	};

	irqbed_put_stamp(&trace->isr, stamp);
	irqbed_delay();
	irqbed_stamp_now(&trace->notify);
	irqbed_notifier->notify(ring, &event);
}

/*
 * Takes one complete record. It belongs to a device that may be wrong or
 * hostile and may write at any moment: each field is read once, and what was
 * checked is what is used.
 */
static __always_inline void irqbed_take_record(struct irqbed_ring *ring,
					       const struct irqbed_event_record *record,
					       u64 stamp)
{
	u32 offset = READ_ONCE(record->payload_offset);
	u32 len = READ_ONCE(record->payload_len);
	u32 slot = READ_ONCE(record->slot);

	/* The area is never smaller than the longest payload: no underflow. */
	if (unlikely(len > ring->max_payload ||
		     offset > ring->payload_area - len ||
		     slot >= ring->slots))
		ring->counters.bad_record++;
	else
		irqbed_hand_on(ring, record, offset, len, slot, stamp);
}

/*
 * When the interrupt of record number @n came, noted by irqbed_ring_enter();
 * now, for a record that is taken before its interrupt.
 */
static inline u64 irqbed_ring_entry(const struct irqbed_ring *ring, u32 n)
{
	if (likely((s32)(smp_load_acquire(&ring->entered) - n) > 0))
		return ring->entry[n & (ring->entries - 1)];
	return irqbed_stamp();
}

/*
 * Takes what is in the ring, at most one lap of it.
 *
 * The bound keeps a device that writes faster than we read from holding the
 * processor for ever, and loses nothing: at the moment of the interrupt at
 * most one lap of records was unread, so a record that is left over was
 * written after it and has an interrupt of its own, which the processor keeps
 * pending until this one returns. The timer and softirqs get their turn in
 * between. A drain that was put off keeps the same promise: an interrupt that
 * comes while it runs has it run once more.
 *
 * @deferred is a constant, so that the hard interrupt handler does not pay for
 * those who put the drain off.
 */
static __always_inline u32 irqbed_ring_drain(struct irqbed_ring *ring,
					     u64 stamp, bool deferred)
{
	const struct irqbed_event_record *record;
	u32 first = ring->consumer;
	u32 n = first;

	for (;;) {
		record = irqbed_record(ring, n);
		if (!irqbed_record_ready(ring, n, record))
			break;
		/* The record was complete before its phase was. */
		dma_rmb();
		/*
		 * The first event was taken by the interrupt, each later one
		 * is from here: not earlier, or it could be taken before it
		 * was raised.
		 */
		if (deferred)
			stamp = irqbed_ring_entry(ring, n);
		else if (n != first)
			stamp = irqbed_stamp();
		irqbed_take_record(ring, record, stamp);
		ring->counters.events++;
		n++;
		/*
		 * After each event, not after the last one: it costs two
		 * stores, and a burst longer than the ring finds room as soon
		 * as there is some.
		 */
		/* A flush that sees the index sees what was counted. */
		smp_store_release(&ring->consumer, n);
		/* The device may overwrite record and payload: we are done. */
		smp_store_release(ring->consumer_shared, n);
		if (unlikely(n - first == ring->entries))
			break;
	}
	if (static_branch_unlikely(&irqbed_batching))
		irqbed_notifier->flush(ring);
	return n - first;
}

/*
 * The rings that have a record no drain has taken, bit by bit: for an interrupt
 * that does not say whose it is. It is in vain for most of them, so it asks
 * nobody. A record that is written after we looked has an interrupt of its own.
 */
u32 irqbed_rings_waiting(const struct irqbed_device *idev)
{
	const struct irqbed_ring *ring;
	u32 v, n, waiting = 0;

	for (v = 0; v < idev->nr_rings; v++) {
		ring = &idev->rings[v];
		n = READ_ONCE(ring->consumer);
		if (irqbed_record_ready(ring, n, irqbed_record(ring, n)))
			waiting |= BIT(v);
	}
	return waiting;
}

/*
 * An interrupt that found no record. Most of them had theirs taken by the one
 * before; but it may have been meant for another ring, or a record is missing.
 */
void __cold irqbed_in_vain(struct irqbed_ring *ring)
{
	ring->counters.merged_interrupts++;
	irqbed_service_kick(ring->idev);
}

/* The same where the interrupt itself drains: so it can be put right at once. */
static void __cold irqbed_drain_in_vain(struct irqbed_ring *ring)
{
	if (irqbed_ring_step_back(ring))
		irqbed_ring_take(ring, irqbed_stamp());
	else
		irqbed_in_vain(ring);
}

irqreturn_t irqbed_interrupt(int irq, void *data)
{
	/* The stamp comes first: whatever is before it is not measured. */
	u64 entry = irqbed_stamp();
	struct irqbed_ring *ring = data;

	ring->counters.interrupts++;
	if (unlikely(!irqbed_ring_drain(ring, entry, false)))
		irqbed_drain_in_vain(ring);

	/*
	 * Handled even when there was no record: edges may merge with one that
	 * was already taken, and a vector is nobody else's. IRQ_NONE would have
	 * the kernel count them as spurious and shut the vector off.
	 */
	return IRQ_HANDLED;
}

/* The same for one of the rings that share an interrupt, which is not counted. */
bool irqbed_ring_take(struct irqbed_ring *ring, u64 entry)
{
	return irqbed_ring_drain(ring, entry, false);
}

/*
 * For a ring whose drain is put off: notes @entry for each record that the
 * interrupt announces. Never runs twice at a time for one ring, but at the same
 * time as the drain, whose index it reads once.
 *
 * Says whether there was a record that no interrupt had announced. Where there
 * was none, no drain need be asked for: the one that was asked for last takes
 * all that was noted, or has taken it, and a record that is written after we
 * looked has an interrupt of its own.
 */
static __always_inline bool irqbed_ring_announce(struct irqbed_ring *ring,
						 u64 entry)
{
	/* The drain is done with the entries before it. */
	u32 consumer = smp_load_acquire(&ring->consumer);
	u32 first = ring->entered;
	u32 n;

	/* It may have taken records before their interrupt came. */
	if ((s32)(first - consumer) < 0)
		first = consumer;
	n = first;
	/* Entries of a lap that was not yet drained are not overwritten. */
	while (n - consumer < ring->entries &&
	       irqbed_record_ready(ring, n, irqbed_record(ring, n)))
		ring->entry[n++ & (ring->entries - 1)] = entry;
	/* Whoever sees the index sees the entries before it. */
	smp_store_release(&ring->entered, n);
	return n != first;
}

void irqbed_ring_enter(struct irqbed_ring *ring, u64 entry)
{
	ring->counters.interrupts++;
	if (unlikely(!irqbed_ring_announce(ring, entry)))
		irqbed_in_vain(ring);
}

/* The same for one of the rings that share an interrupt, which is not counted. */
bool irqbed_ring_note(struct irqbed_ring *ring, u64 entry)
{
	return irqbed_ring_announce(ring, entry);
}

/*
 * The part that was put off. Never runs twice at a time for one ring, and
 * begins anew after every irqbed_ring_enter() and every irqbed_ring_note() that
 * found something.
 */
void irqbed_ring_run(struct irqbed_ring *ring)
{
	irqbed_ring_drain(ring, 0, true);
}

/*
 * The room that the messages of the next records take, of the one in hand and
 * of at most @count in all, where one of a payload takes @size of its length. A
 * hint: the device may write at any moment.
 */
size_t irqbed_ring_ahead(const struct irqbed_ring *ring, u32 count,
			 size_t (*size)(u32 payload_len))
{
	const struct irqbed_event_record *record;
	u32 n, first = ring->consumer;
	size_t room = 0;

	for (n = first; n - first < min(count, ring->entries); n++) {
		record = irqbed_record(ring, n);
		if (!irqbed_record_ready(ring, n, record))
			break;
		dma_rmb();
		room += size(min(READ_ONCE(record->payload_len),
				 ring->max_payload));
	}
	return room;
}

/*
 * Whether every record that was in the ring when ring->flush_from was noted
 * has been handed on: a whole lap was, or the ring was seen empty.
 */
bool irqbed_ring_flushed(const struct irqbed_ring *ring)
{
	/* What was counted up to this index is seen by who asks next. */
	u32 n = smp_load_acquire(&ring->consumer);

	/* Taken, but not sent yet; who sees that it was sees it counted. */
	if (smp_load_acquire(&ring->batched))
		return false;
	if (n - ring->flush_from >= ring->entries)
		return true;
	if (irqbed_record_ready(ring, n, irqbed_record(ring, n)))
		return false;
	/*
	 * The record may look unready because the drain took it and the device
	 * wrote the next lap's over it: then more may wait behind it.
	 */
	smp_rmb();
	return READ_ONCE(ring->consumer) == n;
}
