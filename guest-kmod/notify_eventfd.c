// SPDX-License-Identifier: GPL-2.0
/*
 * Notifier 'eventfd': the queue of each open file, and a signal to the eventfd
 * that its owner handed in. The owner takes the events from its mapping.
 *
 * eventfd_signal() takes its lock with interrupts off and warns of nothing but
 * a signal within a signal, which interrupts off make impossible here: it is
 * for any context. Its counter adds up, so the owner may be woken once for
 * several events, which are all in the queue.
 */
#include <linux/eventfd.h>

#include "irqbed_queue.h"
#include "notify.h"

static void irqbed_eventfd_wake(struct irqbed_queue *queue)
{
	irqbed_eventfd_signal(queue->eventfd);
}

static void irqbed_eventfd_notify(struct irqbed_ring *ring,
				  const struct irqbed_event *event)
{
	irqbed_queues_notify(ring, event, irqbed_eventfd_wake);
}

const struct irqbed_notifier irqbed_notify_eventfd = {
	.name = "eventfd",
	.takes_queues = true,
	.needs_eventfd = true,
	.notify = irqbed_eventfd_notify,
};
