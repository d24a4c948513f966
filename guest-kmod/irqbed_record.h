/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where a record lies in its ring, and whether it is there: for the path of an
 * event, and for who looks after rings that stand still.
 */
#ifndef IRQBED_RECORD_H
#define IRQBED_RECORD_H

#include <linux/compiler.h>
#include <linux/types.h>

#include "irqbed.h"

/* Where record number @n lies, or will. */
static inline const struct irqbed_event_record *
irqbed_record(const struct irqbed_ring *ring, u32 n)
{
	return &ring->records[n & (ring->entries - 1)];
}

/* Whether @record carries the phase that record number @n is written with. */
static inline bool irqbed_record_ready(const struct irqbed_ring *ring, u32 n,
				       const struct irqbed_event_record *record)
{
	return READ_ONCE(record->phase) == (n & ring->entries ? 0 : 1);
}

#endif /* IRQBED_RECORD_H */
