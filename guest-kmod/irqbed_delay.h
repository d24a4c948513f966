/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A known delay between the stamps 'isr' and 'notify': a run that shows it
 * there, in full, and nowhere else proves the numbers. Off by default.
 */
#ifndef IRQBED_DELAY_H
#define IRQBED_DELAY_H

#include <linux/compiler.h>
#include <linux/types.h>

#include <asm/tsc.h>

/* Parameters delay_insns and delay_ns in the units of the loops below. */
extern u32 irqbed_delay_loops;
extern u64 irqbed_delay_cycles;

static __always_inline void irqbed_delay(void)
{
	u32 loops = READ_ONCE(irqbed_delay_loops);
	u64 cycles = READ_ONCE(irqbed_delay_cycles);

	/*
	 * Two instructions an iteration, and the two before the loop are
	 * executed for none as well: N instructions of delay are N more than none,
	 * exactly. In assembly because a compiler promises no such thing.
	 */
	asm volatile("testl %0, %0\n\t"
		     "jz 2f\n"
		     "1:\tdecl %0\n\t"
		     "jnz 1b\n"
		     "2:"
		     : "+r" (loops) : : "cc");

	if (unlikely(cycles)) {
		u64 start = rdtsc_ordered();

		/*
		 * No cpu_relax(): PAUSE makes a hypervisor switch to another
		 * CPU, and the delay would not be the one asked for.
		 */
		while (rdtsc_ordered() - start < cycles)
			;
	}
}

#endif /* IRQBED_DELAY_H */
