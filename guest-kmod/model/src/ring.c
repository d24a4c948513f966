// SPDX-License-Identifier: GPL-2.0
/*
 * The driver's ring algorithm as functions that Rust can call. Compiled once for
 * each variant of irqbed_ring_consumer.h, see build.rs.
 */
#include <stdlib.h>
#include <string.h>

#include "irqbed_ring_consumer.h"

#define JOIN(a, b)	a##_##b
#define NAMED(a, b)	JOIN(a, b)
#define FN(name)	NAMED(VARIANT, name)

/* A record that was taken. */
struct taken {
	u64 seq;
	u32 number;
	u32 valid;
};

struct ring {
	struct irqbed_consumer consumer;
	struct irqbed_stall stall;
	u32 shared;
	u64 missing;
	/* Those that were taken since somebody asked. */
	struct taken *taken;
	u64 nr_taken;
	u64 room;
};

static __always_inline void take(struct irqbed_consumer *consumer,
				 const struct irqbed_event_record *record,
				 u32 n, void *arg)
{
	struct ring *ring = arg;
	u32 offset = READ_ONCE(record->payload_offset);
	u32 len = READ_ONCE(record->payload_len);
	u32 slot = READ_ONCE(record->slot);

	if (ring->nr_taken == ring->room) {
		ring->room = 2 * ring->room + 64;
		ring->taken = realloc(ring->taken,
				      ring->room * sizeof(*ring->taken));
		if (!ring->taken)
			abort();
	}
	ring->taken[ring->nr_taken++] = (struct taken) {
		.seq = READ_ONCE(record->seq),
		.number = n,
		.valid = irqbed_fields_valid(consumer, offset, len, slot),
	};
}

struct ring *FN(new)(u32 entries, u32 payload_area, u32 max_payload, u32 slots)
{
	struct ring *ring = calloc(1, sizeof(*ring));

	if (!ring)
		abort();
	ring->consumer.mask = entries - 1;
	ring->consumer.payload_area = payload_area;
	ring->consumer.max_payload = max_payload;
	ring->consumer.slots = slots;
	ring->consumer.shared = &ring->shared;
	ring->consumer.records = calloc(entries, sizeof(*ring->consumer.records));
	if (!ring->consumer.records)
		abort();
	return ring;
}

void FN(free)(struct ring *ring)
{
	free((void *)ring->consumer.records);
	free(ring->taken);
	free(ring);
}

/* A write of the device, which the caller keeps inside of the records. */
void FN(write)(struct ring *ring, u32 offset, const u8 *data, u32 len)
{
	memcpy((u8 *)ring->consumer.records + offset, data, len);
}

u32 FN(next)(const struct ring *ring)
{
	return ring->consumer.next;
}

u32 FN(shared)(const struct ring *ring)
{
	return ring->shared;
}

void FN(set_shared)(struct ring *ring, u32 index)
{
	ring->shared = index;
}

u64 FN(missing)(const struct ring *ring)
{
	return ring->missing;
}

/* Copies at most @most of what was taken, and forgets them; returns how many. */
u64 FN(take_taken)(struct ring *ring, struct taken *into, u64 most)
{
	u64 count = ring->nr_taken < most ? ring->nr_taken : most;

	memcpy(into, ring->taken, count * sizeof(*into));
	memmove(ring->taken, ring->taken + count,
		(ring->nr_taken - count) * sizeof(*into));
	ring->nr_taken -= count;
	return count;
}

u32 FN(drain)(struct ring *ring)
{
	return irqbed_consumer_drain(&ring->consumer, take, ring);
}

u32 FN(end)(const struct ring *ring)
{
	return irqbed_consumer_end(&ring->consumer);
}

void FN(salvage)(struct ring *ring, u32 end)
{
	irqbed_consumer_salvage(&ring->consumer, end, &ring->missing, take,
				ring);
}

u32 FN(rearm)(struct ring *ring)
{
	return irqbed_consumer_rearm(&ring->consumer);
}

u32 FN(poll)(struct ring *ring, u32 pending, u64 now, u64 patience)
{
	return irqbed_ring_poll(&ring->consumer, &ring->stall, pending, now,
				patience);
}
