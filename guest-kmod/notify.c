// SPDX-License-Identifier: GPL-2.0
/*
 * The table of all notifiers, and nothing else: the only place that knows them
 * all.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/printk.h>
#include <linux/string.h>

#include "irqbed_abi.h"
#include "irqbed_notifier.h"

static const struct irqbed_notifier *const irqbed_notifiers[] = {
	&irqbed_notify_netlink,
	&irqbed_notify_netlink_broadcast,
	&irqbed_notify_genetlink,
	&irqbed_notify_genetlink_multicast,
	&irqbed_notify_chardev,
	&irqbed_notify_signal,
	&irqbed_notify_eventfd,
#if IS_ENABLED(CONFIG_UIO)
	&irqbed_notify_uio,
#endif
	&irqbed_notify_mmap,
};

static int irqbed_batch_select(unsigned int batch)
{
	if (!batch || batch > IRQBED_MAX_BATCH) {
		pr_err("batch=%u is not a number from 1 to %u\n", batch,
		       IRQBED_MAX_BATCH);
		return -EINVAL;
	}
	if (batch > 1 && !irqbed_notifier->flush) {
		pr_err("notifier '%s' puts one event into a message; load with batch=1\n",
		       irqbed_notifier->name);
		return -EINVAL;
	}
	irqbed_batch = batch;
	if (batch > 1)
		static_branch_enable(&irqbed_batching);
	return 0;
}

int irqbed_notifier_select(const char *name, unsigned int batch)
{
	char known[256] = "";
	size_t i, len = 0;

	for (i = 0; i < ARRAY_SIZE(irqbed_notifiers); i++) {
		if (!strcmp(name, irqbed_notifiers[i]->name)) {
			irqbed_notifier = irqbed_notifiers[i];
			return irqbed_batch_select(batch);
		}
		len += scnprintf(known + len, sizeof(known) - len, "%s%s",
				 i ? ", " : "", irqbed_notifiers[i]->name);
	}
	pr_err("there is no notifier '%s'; load with notifier= one of: %s%s\n",
	       name, known,
	       IS_ENABLED(CONFIG_UIO) ? "" :
		", or uio where the kernel has CONFIG_UIO (this one has not)");
	return -EINVAL;
}
