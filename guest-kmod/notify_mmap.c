// SPDX-License-Identifier: GPL-2.0
/*
 * Notifier 'mmap': the queue of each open file, and nobody is told. Who wants
 * events looks for them in its mapping, all the time: what is left is the
 * floor under all other notifiers.
 */
#include "irqbed_queue.h"
#include "notify.h"

static void irqbed_mmap_notify(struct irqbed_ring *ring,
			       const struct irqbed_event *event)
{
	irqbed_queues_notify(ring, event, NULL);
}

const struct irqbed_notifier irqbed_notify_mmap = {
	.name = "mmap",
	.takes_queues = true,
	.notify = irqbed_mmap_notify,
};
