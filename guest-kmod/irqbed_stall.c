// SPDX-License-Identifier: GPL-2.0
/*
 * Rings that stand still: records wait whose interrupt was lost, or went to
 * another vector, or a record never becomes complete and holds up those behind
 * it. The path of an event (irqbed_ring.c) cannot know; the service
 * (irqbed_service.c) looks every now and then.
 *
 * What a look finds is let be: it may be on its way. What the next look finds
 * still there is taken, and what is not complete by then is passed over and
 * counted as a bad record. A device writes its records in order, so one that
 * was overtaken is broken, or very late.
 */
#include <linux/compiler.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include <asm/barrier.h>

#include "irqbed.h"
#include "irqbed_record.h"
#include "irqbed_stamp.h"

/* How far behind a record that is not there others are looked for. */
#define IRQBED_LOOK_AHEAD	64U
/* How many taken records are looked at for one that can be believed. */
#define IRQBED_LOOK_BACK	8U
/* How many are looked at for those that were written once more. */
#define IRQBED_CLEAN_BACK	1024U

/*
 * The number of the event in a record, 0 where its trace slot does not speak of
 * it. Processes may write to the slots: it is good enough to decide what to
 * wait for.
 */
static u64 irqbed_record_event(const struct irqbed_ring *ring, u32 n)
{
	const struct irqbed_event_record *record = irqbed_record(ring, n);
	u32 slot = READ_ONCE(record->slot);
	u64 seq = READ_ONCE(record->seq);

	if (slot >= ring->slots || READ_ONCE(ring->trace[slot].seq) != seq)
		return 0;
	return seq;
}

/* The last event taken, as far as it can be known; 0 where it cannot. */
static u64 irqbed_ring_last(const struct irqbed_ring *ring, u32 n)
{
	u64 seq = 0;
	u32 back;

	for (back = 1; !seq && back <= min(IRQBED_LOOK_BACK, ring->entries); back++)
		seq = irqbed_record_event(ring, n - back);
	return seq;
}

/*
 * The number behind the last record that is complete, from @n on. A record of
 * the lap before may look complete, after a write that was late or went astray:
 * so it must be newer than what was taken.
 */
static u32 irqbed_ring_end(const struct irqbed_ring *ring, u32 n)
{
	u64 last = irqbed_ring_last(ring, n);
	u32 ahead = min(IRQBED_LOOK_AHEAD, ring->entries);

	for (; ahead; ahead--) {
		u32 at = n + ahead - 1;

		if (!irqbed_record_ready(ring, at, irqbed_record(ring, at)))
			continue;
		/* The record was complete before its phase was. */
		dma_rmb();
		if (irqbed_record_event(ring, at) > last)
			break;
	}
	/* The next record is taken whatever it says, and checked then. */
	if (!ahead && irqbed_record_ready(ring, n, irqbed_record(ring, n)))
		ahead = 1;
	return n + ahead;
}

/* Passes over a record that is not complete. The ring is held. */
static void irqbed_ring_skip(struct irqbed_ring *ring)
{
	u32 n = ring->consumer + 1;

	ring->counters.events++;
	ring->counters.bad_record++;
	smp_store_release(&ring->consumer, n);
	smp_store_release(ring->consumer_shared, n);
}

/*
 * Whether the record that was taken last is not the one that was taken: it was
 * complete before its time, with what had been there, and the device has written
 * it since. Then its slot has no stamp of ours.
 */
static bool irqbed_ring_missed(const struct irqbed_ring *ring)
{
	u32 n = READ_ONCE(ring->consumer) - 1;
	const struct irqbed_event_record *record = irqbed_record(ring, n);
	u32 slot = READ_ONCE(record->slot);

	if (!static_branch_likely(&irqbed_stamps) ||
	    !irqbed_record_ready(ring, n, record))
		return false;
	/* The record was complete before its phase was. */
	dma_rmb();
	return irqbed_record_event(ring, n) && slot < ring->slots &&
	       !READ_ONCE(ring->trace[slot].isr);
}

/* Lets such a record be taken after all. The ring is held, or being drained. */
bool irqbed_ring_step_back(struct irqbed_ring *ring)
{
	bool missed = irqbed_ring_missed(ring);

	if (missed)
		WRITE_ONCE(ring->consumer, ring->consumer - 1);
	return missed;
}

/*
 * A record that was taken, and written once more since, late or astray, may look
 * like the one of the next lap. It is not, where it is no newer than the last
 * one: that is put right, but for what the device may be about to write.
 */
static void irqbed_ring_clean(struct irqbed_ring *ring, u32 n)
{
	u64 last = irqbed_ring_last(ring, n);
	u32 at, back = ring->entries - min(IRQBED_LOOK_AHEAD, ring->entries);

	for (at = n - min(back, IRQBED_CLEAN_BACK); at != n; at++) {
		struct irqbed_event_record *record =
			(void *)irqbed_record(ring, at);

		if (!irqbed_record_ready(ring, at + ring->entries, record))
			continue;
		/* The record was complete before its phase was. */
		dma_rmb();
		if (irqbed_record_event(ring, at) <= last)
			WRITE_ONCE(record->phase, !READ_ONCE(record->phase));
	}
}

/* Takes all records up to number @end, and what lies behind. The ring is held. */
static void irqbed_ring_take_to(struct irqbed_ring *ring, u32 end)
{
	irqbed_ring_take(ring, irqbed_stamp());
	while ((s32)(end - ring->consumer) > 0) {
		irqbed_ring_skip(ring);
		irqbed_ring_take(ring, irqbed_stamp());
	}
}

/*
 * Looks at a ring: takes what the last look found and is still there. With
 * @closely beyond a record that is missing, too. Says whether to look again
 * soon. Never runs twice at a time for one ring.
 */
bool irqbed_ring_look(struct irqbed_ring *ring, bool closely)
{
	u32 n = smp_load_acquire(&ring->consumer);
	bool stalled = (s32)(ring->overdue - n) > 0 ||
		       (closely && irqbed_ring_missed(ring));

	if (stalled) {
		irqbed_ring_hold(ring);
		irqbed_ring_step_back(ring);
		irqbed_ring_take_to(ring, ring->overdue);
		ring->counters.rescues++;
		irqbed_ring_release(ring);
		n = READ_ONCE(ring->consumer);
	}
	/* What is late arrives when no event comes any more, too. */
	if (n != ring->earlier)
		irqbed_ring_clean(ring, n);
	ring->earlier = ring->last;
	ring->last = n;
	ring->overdue = n;
	if (closely || irqbed_record_ready(ring, n, irqbed_record(ring, n)))
		ring->overdue = irqbed_ring_end(ring, n);
	return stalled || ring->overdue != n;
}

/* Takes all that a ring has. It is held, and is to be set up anew. */
void irqbed_ring_finish(struct irqbed_ring *ring)
{
	u32 laps, end;

	/* A device that goes on writing is not waited for. */
	for (laps = 0; laps < ring->entries; laps++) {
		end = irqbed_ring_end(ring, ring->consumer);
		if (end == ring->consumer)
			break;
		irqbed_ring_take_to(ring, end);
	}
}

/* A ring as it was before its first record. It is held and not armed. */
void irqbed_ring_rewind(struct irqbed_ring *ring)
{
	/* Not even an old record looks like one of the first lap. */
	memset((void *)ring->records, 0, ring->entries * sizeof(*ring->records));
	ring->entered = 0;
	ring->overdue = 0;
	ring->last = 0;
	ring->earlier = 0;
	WRITE_ONCE(ring->consumer, 0);
}
