/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which record of a ring is taken next, and when a ring has stalled. Nothing
 * else decides that, and nothing here needs more of the kernel than the three
 * headers below, so that the tests of model/ run this very code on the host
 * against a device that does everything wrong.
 *
 * All that is remembered is @next, the number of the record to take next. A
 * record says its number twice: in its body, and plus one in its last word,
 * which the device writes last. It is complete where both are as expected, and
 * no write of an earlier lap, or one that is torn, late or misplaced, can look
 * like that. Nothing else that the device has written is remembered or
 * compared, and the driver never writes to the records.
 */
#ifndef IRQBED_RING_CONSUMER_H
#define IRQBED_RING_CONSUMER_H

#include <linux/compiler.h>
#include <linux/types.h>

#include <asm/barrier.h>

#include "irqbed_abi.h"

/* The driver's end of a ring. */
struct irqbed_consumer {
	/*
	 * Number of the record to take next, free-running. The drain writes it,
	 * others read it.
	 */
	u32 next;
	/* Entries of the ring, a power of two, less one. */
	u32 mask;
	/* Bytes. */
	u32 payload_area;
	/* Longest payload and number of trace slots the device promised. */
	u32 max_payload;
	u32 slots;
	/* Written by the device at any moment: each field is read once. */
	const struct irqbed_event_record *records;
	/* Where the device reads @next, in the instrument BAR. */
	u32 *shared;
};

/* Takes record number @n, which is complete. */
typedef void (*irqbed_take_fn)(struct irqbed_consumer *consumer,
			       const struct irqbed_event_record *record, u32 n,
			       void *arg);

static __always_inline u32
irqbed_entries(const struct irqbed_consumer *consumer)
{
	return consumer->mask + 1;
}

/* Where record number @n lies, or will. */
static __always_inline const struct irqbed_event_record *
irqbed_record(const struct irqbed_consumer *consumer, u32 n)
{
	return &consumer->records[n & consumer->mask];
}

/* Whether @record is record number @n, all of it. */
static __always_inline bool
irqbed_record_complete(const struct irqbed_event_record *record, u32 n)
{
	if (READ_ONCE(record->ready) != n + 1)
		return false;
	/* The record was complete before its last word was. */
	dma_rmb();
	return READ_ONCE(record->number) == n;
}

/*
 * Whether a payload and a trace slot are inside of what they index. The area is
 * never smaller than the longest payload, so the difference does not underflow.
 */
static __always_inline bool
irqbed_fields_valid(const struct irqbed_consumer *consumer, u32 offset, u32 len,
		    u32 slot)
{
	return !unlikely(len > consumer->max_payload ||
			 offset > consumer->payload_area - len ||
			 slot >= consumer->slots);
}

/* All records before number @n are taken: the device may write over them. */
static __always_inline void
irqbed_consumer_advance(struct irqbed_consumer *consumer, u32 n)
{
	/* A flush that sees the index sees what was counted. */
	smp_store_release(&consumer->next, n);
	smp_store_release(consumer->shared, n);
}

/*
 * Takes what is in the ring, at most one lap of it, and returns how many records
 * that were.
 *
 * The bound keeps a device that writes faster than we read from holding the
 * processor for ever, and loses nothing: at the moment of the interrupt at most
 * one lap of records was unread, so a record that is left over was written after
 * it and has an interrupt of its own. The index is told after each record: it
 * costs two stores, and a burst longer than the ring finds room as soon as there
 * is some.
 */
static __always_inline u32
irqbed_consumer_drain(struct irqbed_consumer *consumer, irqbed_take_fn take,
		      void *arg)
{
	const struct irqbed_event_record *record;
	u32 first = consumer->next;
	u32 n = first;

	for (;;) {
		record = irqbed_record(consumer, n);
		if (!irqbed_record_complete(record, n))
			break;
		take(consumer, record, n, arg);
		irqbed_consumer_advance(consumer, ++n);
		if (unlikely(n - first > consumer->mask))
			break;
	}
	return n - first;
}

/* The number behind the last complete record. The device writes no more. */
static inline u32 irqbed_consumer_end(const struct irqbed_consumer *consumer)
{
	u32 first = consumer->next;
	u32 n;

	for (n = first + irqbed_entries(consumer); n != first; n--) {
		if (irqbed_record_complete(irqbed_record(consumer, n - 1), n - 1))
			break;
	}
	return n;
}

/*
 * Takes every complete record before number @end, where the device has stopped
 * writing, and counts in @missing those that are not complete. What is more than
 * a lap before @end was written over.
 */
static __always_inline void
irqbed_consumer_salvage(struct irqbed_consumer *consumer, u32 end,
			u64 *missing, irqbed_take_fn take, void *arg)
{
	const struct irqbed_event_record *record;
	u32 n = consumer->next;

	if (end - n > irqbed_entries(consumer)) {
		*missing += end - n - irqbed_entries(consumer);
		n = end - irqbed_entries(consumer);
	}
	for (; n != end; irqbed_consumer_advance(consumer, ++n)) {
		record = irqbed_record(consumer, n);
		if (irqbed_record_complete(record, n))
			take(consumer, record, n, arg);
		else
			(*missing)++;
	}
	/* The device may have lost what it knew of the index. */
	irqbed_consumer_advance(consumer, end);
}

/*
 * The number that a ring is armed with: a lap on, which no record has that the
 * device may have written before, complete or not. The device goes by the index
 * of before until the ring is armed, and by this one then.
 */
static inline u32 irqbed_consumer_rearm(struct irqbed_consumer *consumer)
{
	u32 n = consumer->next + irqbed_entries(consumer);

	smp_store_release(&consumer->next, n);
	return n;
}

/* What the watchdog makes of a ring. */
enum irqbed_ring_state {
	/* Nothing to take. */
	IRQBED_RING_IDLE,
	/* Records were taken since the last poll, and there are more. */
	IRQBED_RING_MOVING,
	/* There are records, and it is too soon to worry. */
	IRQBED_RING_WAITING,
	/* A complete record that nobody takes: its interrupt was lost. */
	IRQBED_RING_UNANNOUNCED,
	/* A record that does not become complete, and holds up those behind. */
	IRQBED_RING_HOLE,
};

/* What the watchdog remembers of a ring: which record it waits for. */
struct irqbed_stall {
	bool waiting;
	u32 next;
	unsigned long since;
};

/*
 * Looks at a ring at the time @now. @pending is set where the device says that
 * the ring holds records; without, only complete ones are seen. A record gets
 * at least @patience to be completed and taken.
 */
static inline enum irqbed_ring_state
irqbed_ring_poll(const struct irqbed_consumer *consumer,
		 struct irqbed_stall *stall, bool pending, unsigned long now,
		 unsigned long patience)
{
	u32 n = smp_load_acquire(&consumer->next);
	bool complete = irqbed_record_complete(irqbed_record(consumer, n), n);
	bool waited = stall->waiting;

	if (!complete && !pending) {
		stall->waiting = false;
		return IRQBED_RING_IDLE;
	}
	if (!waited || stall->next != n) {
		stall->waiting = true;
		stall->next = n;
		stall->since = now;
		return waited ? IRQBED_RING_MOVING : IRQBED_RING_WAITING;
	}
	if (now - stall->since < patience)
		return IRQBED_RING_WAITING;
	stall->waiting = false;
	return complete ? IRQBED_RING_UNANNOUNCED : IRQBED_RING_HOLE;
}

#endif /* IRQBED_RING_CONSUMER_H */
