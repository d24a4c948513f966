/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The driver's stamps. They can be left out, to find out what they cost; a
 * branch that is patched keeps the way there from costing more than they do.
 */
#ifndef IRQBED_STAMP_H
#define IRQBED_STAMP_H

#include <linux/compiler.h>
#include <linux/jump_label.h>
#include <linux/types.h>

#include <asm/tsc.h>

DECLARE_STATIC_KEY_TRUE(irqbed_stamps);

/* As parameter 'stamps' says; before any ring is armed. */
void irqbed_stamps_select(void);

/* The time of the guest, for a stamp; nothing where there are none. */
static __always_inline u64 irqbed_stamp(void)
{
	return static_branch_likely(&irqbed_stamps) ? rdtsc_ordered() : 0;
}

/* Puts the stamp @time into a field of a trace slot. */
static __always_inline void irqbed_put_stamp(u64 *field, u64 time)
{
	if (static_branch_likely(&irqbed_stamps))
		WRITE_ONCE(*field, time);
}

/* Stamps a field of a trace slot: one branch for reading and writing. */
static __always_inline void irqbed_stamp_now(u64 *field)
{
	if (static_branch_likely(&irqbed_stamps))
		WRITE_ONCE(*field, rdtsc_ordered());
}

#endif /* IRQBED_STAMP_H */
