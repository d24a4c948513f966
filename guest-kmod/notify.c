// SPDX-License-Identifier: GPL-2.0
/*
 * The table of all notifiers, and nothing else: the only place that knows them
 * all.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cache.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/printk.h>
#include <linux/string.h>

#include "notify.h"

static const struct irqbed_notifier *const irqbed_notifiers[] = {
	&irqbed_notify_netlink,
	&irqbed_notify_netlink_broadcast,
	&irqbed_notify_chardev,
	&irqbed_notify_eventfd,
	&irqbed_notify_mmap,
};

const struct irqbed_notifier *irqbed_notifier __ro_after_init;

int irqbed_notifier_select(const char *name)
{
	char known[256] = "";
	size_t i, len = 0;

	for (i = 0; i < ARRAY_SIZE(irqbed_notifiers); i++) {
		if (!strcmp(name, irqbed_notifiers[i]->name)) {
			irqbed_notifier = irqbed_notifiers[i];
			return 0;
		}
		len += scnprintf(known + len, sizeof(known) - len, "%s%s",
				 i ? ", " : "", irqbed_notifiers[i]->name);
	}
	pr_err("there is no notifier '%s'; load with notifier= one of: %s\n",
	       name, known);
	return -EINVAL;
}
