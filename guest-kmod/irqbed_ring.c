// SPDX-License-Identifier: GPL-2.0
/*
 * The path of an event: interrupt, record, trace stamps, notifier.
 *
 * Every instruction here is part of what irqbed measures, so what can be
 * prepared is prepared before the first one, in irqbed_ring_memory.c. Which record is
 * taken is decided in irqbed_ring_consumer.h.
 */
#include <linux/cache.h>
#include <linux/compiler.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include <asm/barrier.h>

#include "irqbed.h"
#include "irqbed_delay.h"
#include "irqbed_notifier.h"
#include "irqbed_stamp.h"

const struct irqbed_notifier *irqbed_notifier __ro_after_init;
unsigned int irqbed_batch __ro_after_init;
/* A static branch: without batching it costs nothing. */
DEFINE_STATIC_KEY_FALSE(irqbed_batching);

/* What a drain knows of the records that it takes. */
struct irqbed_drain {
	/* Number of the first record. */
	u32 first;
	/* When the interrupt came that announced it. */
	u64 stamp;
	/* Whether the drain was put off; a constant. */
	bool deferred;
};

/*
 * Stamps one event and delivers it to the notifier. Initialised where it is
 * declared, or the compiler would clear it first.
 */
static __always_inline void irqbed_deliver(struct irqbed_ring *ring,
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
 * When the interrupt of record number @n came, noted by irqbed_ring_enter();
 * now, for a record that is taken before its interrupt.
 */
static inline u64 irqbed_ring_entry(const struct irqbed_ring *ring, u32 n)
{
	if (likely((s32)(smp_load_acquire(&ring->entered) - n) > 0))
		return ring->entry[n & ring->consumer.mask];
	return irqbed_stamp();
}

/*
 * Takes one complete record. It belongs to a device that may be wrong or
 * hostile and may write at any moment: each field is read once, and what was
 * checked is what is used.
 */
static __always_inline void irqbed_take(struct irqbed_consumer *consumer,
					const struct irqbed_event_record *record,
					u32 n, void *arg)
{
	struct irqbed_ring *ring =
		container_of(consumer, struct irqbed_ring, consumer);
	struct irqbed_drain *drain = arg;
	u32 offset = READ_ONCE(record->payload_offset);
	u32 len = READ_ONCE(record->payload_len);
	u32 slot = READ_ONCE(record->slot);

	/*
	 * The first event was taken by the interrupt, each later one is from
	 * here: not earlier, or it could be taken before it was raised.
	 */
	if (drain->deferred)
		drain->stamp = irqbed_ring_entry(ring, n);
	else if (n != drain->first)
		drain->stamp = irqbed_stamp();
	if (likely(irqbed_fields_valid(consumer, offset, len, slot)))
		irqbed_deliver(ring, record, offset, len, slot, drain->stamp);
	else
		ring->counters.bad_record++;
	ring->counters.events++;
}

/*
 * Takes what is in the ring. A record that is written after the check has an
 * interrupt of its own, which the processor keeps pending until this one
 * returns; a drain that was put off runs once more.
 */
static __always_inline u32 irqbed_drain(struct irqbed_ring *ring, u64 stamp,
					bool deferred)
{
	struct irqbed_drain drain = {
		.first = ring->consumer.next,
		.stamp = stamp,
		.deferred = deferred,
	};
	u32 taken = irqbed_consumer_drain(&ring->consumer, irqbed_take, &drain);

	if (static_branch_unlikely(&irqbed_batching))
		irqbed_notifier->flush(ring);
	return taken;
}

/* Whether record @next of a ring is complete and not taken. */
static bool irqbed_ring_ready(const struct irqbed_consumer *consumer)
{
	u32 n = READ_ONCE(consumer->next);

	return irqbed_record_complete(irqbed_record(consumer, n), n);
}

/*
 * The rings that have a record no drain has taken, bit by bit: for an interrupt
 * that does not say whose it is. A record that is written after the check has an
 * interrupt of its own.
 */
u32 irqbed_rings_ready(const struct irqbed_device *idev)
{
	u32 v, ready = 0;

	for (v = 0; v < idev->nr_rings; v++) {
		if (irqbed_ring_ready(&idev->rings[v].consumer))
			ready |= BIT(v);
	}
	return ready;
}

/*
 * An interrupt that found no record. Most of them had theirs taken by the one
 * before; but it may have been meant for another ring, or a record is missing.
 */
void __cold irqbed_spurious(struct irqbed_ring *ring)
{
	ring->counters.merged_interrupts++;
	irqbed_watchdog_schedule(&ring->idev->watchdog);
}

irqreturn_t irqbed_interrupt(int irq, void *data)
{
	/* The stamp comes first: whatever is before it is not measured. */
	u64 entry = irqbed_stamp();
	struct irqbed_ring *ring = data;

	ring->counters.interrupts++;
	if (unlikely(!irqbed_drain(ring, entry, false)))
		irqbed_spurious(ring);

	/*
	 * Handled even when there was no record: edges may merge with one that
	 * was already taken, and a vector is nobody else's. IRQ_NONE would have
	 * the kernel count them as spurious and shut the vector off.
	 */
	return IRQ_HANDLED;
}

/* The same for one of the rings that share an interrupt, which is not counted. */
bool irqbed_ring_drain(struct irqbed_ring *ring, u64 entry)
{
	return irqbed_drain(ring, entry, false);
}

/*
 * For a ring whose drain is put off: notes @entry for each record that the
 * interrupt announces. Never runs twice at a time for one ring, but at the same
 * time as the drain, whose index it reads once.
 *
 * Returns whether there was a record that no interrupt had announced. Where
 * there was none, no drain need be scheduled: the last one takes all that was
 * noted, or has taken it, and a record that is written after the check has an
 * interrupt of its own.
 */
static __always_inline bool irqbed_ring_announce(struct irqbed_ring *ring,
						 u64 entry)
{
	const struct irqbed_consumer *consumer = &ring->consumer;
	/* The drain is done with the entries before it. */
	u32 next = smp_load_acquire(&consumer->next);
	u32 first = ring->entered;
	u32 n;

	/* It may have taken records before their interrupt came. */
	if ((s32)(first - next) < 0)
		first = next;
	n = first;
	/* Entries of a lap that was not yet drained are not overwritten. */
	while (n - next <= consumer->mask &&
	       irqbed_record_complete(irqbed_record(consumer, n), n))
		ring->entry[n++ & consumer->mask] = entry;
	/* Whoever sees the index sees the entries before it. */
	smp_store_release(&ring->entered, n);
	return n != first;
}

void irqbed_ring_enter(struct irqbed_ring *ring, u64 entry)
{
	ring->counters.interrupts++;
	if (unlikely(!irqbed_ring_announce(ring, entry)))
		irqbed_spurious(ring);
}

/* The same for one of the rings that share an interrupt, which is not counted. */
bool irqbed_ring_enter_shared(struct irqbed_ring *ring, u64 entry)
{
	return irqbed_ring_announce(ring, entry);
}

/*
 * The part that was put off. Never runs twice at a time for one ring, and
 * begins anew after every irqbed_ring_enter() and every
 * irqbed_ring_enter_shared() that found something.
 */
void irqbed_ring_drain_deferred(struct irqbed_ring *ring)
{
	irqbed_drain(ring, 0, true);
}

/*
 * Takes all that is complete before record number @end, and counts what is not.
 * The ring is held, and the device has stopped writing.
 */
void irqbed_ring_salvage(struct irqbed_ring *ring, u32 end)
{
	struct irqbed_drain drain = {
		.first = ring->consumer.next,
		.stamp = irqbed_stamp(),
	};

	irqbed_consumer_salvage(&ring->consumer, end,
				&ring->counters.missing_record, irqbed_take,
				&drain);
	if (static_branch_unlikely(&irqbed_batching))
		irqbed_notifier->flush(ring);
}

/*
 * The room that the messages of the next records take, of the one in hand and
 * of at most @count in all, where one of a payload takes @size of its length. A
 * hint: the device may write at any moment.
 */
size_t irqbed_ring_batch_size(const struct irqbed_ring *ring, u32 count,
			      size_t (*size)(u32 payload_len))
{
	const struct irqbed_consumer *consumer = &ring->consumer;
	const struct irqbed_event_record *record;
	u32 n, first = consumer->next;
	size_t room = 0;

	for (n = first; n - first < min(count, irqbed_entries(consumer)); n++) {
		record = irqbed_record(consumer, n);
		if (!irqbed_record_complete(record, n))
			break;
		room += size(min(READ_ONCE(record->payload_len),
				 consumer->max_payload));
	}
	return room;
}

/*
 * Whether every record that was in the ring when ring->flush_from was noted
 * has been delivered: a whole lap was, or the ring was seen empty.
 */
bool irqbed_ring_flushed(const struct irqbed_ring *ring)
{
	const struct irqbed_consumer *consumer = &ring->consumer;
	/* What was counted up to this index is seen by who asks next. */
	u32 n = smp_load_acquire(&consumer->next);

	/* Taken, but not sent yet; who sees that it was sees it counted. */
	if (smp_load_acquire(&ring->batched))
		return false;
	if (n - ring->flush_from > consumer->mask)
		return true;
	if (irqbed_record_complete(irqbed_record(consumer, n), n))
		return false;
	/*
	 * The record may look incomplete because the drain took it and the
	 * device wrote the next lap's over it: then more may wait behind it.
	 */
	smp_rmb();
	return READ_ONCE(consumer->next) == n;
}
