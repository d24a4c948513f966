// SPDX-License-Identifier: GPL-2.0
/*
 * A handler on another driver's line, as that of a device that shares it: it
 * asks for nothing but to share, and no interrupt is ever its own.
 */
#include <linux/interrupt.h>
#include <linux/module.h>

static int irq = -1;
module_param(irq, int, 0444);
MODULE_PARM_DESC(irq, "Number of the line");

static ulong calls;
module_param(calls, ulong, 0444);
MODULE_PARM_DESC(calls, "How often the handler was called");

static irqreturn_t neighbour_handler(int irq, void *data)
{
	WRITE_ONCE(calls, calls + 1);
	return IRQ_NONE;
}

static int __init neighbour_init(void)
{
	return request_irq(irq, neighbour_handler, IRQF_SHARED, "neighbour",
			   &calls);
}
module_init(neighbour_init);

static void __exit neighbour_exit(void)
{
	free_irq(irq, &calls);
}
module_exit(neighbour_exit);

MODULE_DESCRIPTION("A handler on another driver's line");
MODULE_LICENSE("GPL");
