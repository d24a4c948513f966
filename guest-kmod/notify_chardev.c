// SPDX-License-Identifier: GPL-2.0
/*
 * Notifier 'chardev': the queue of each open file, and whoever waits at it in
 * read(), poll() or the ioctl is woken.
 *
 * A wake-up takes the wait queue's lock with interrupts off, and so does
 * everybody else: it is for any context, as waking from an interrupt handler
 * has always been.
 */
#include <linux/poll.h>
#include <linux/wait.h>

#include "irqbed_queue.h"
#include "notify.h"

static void irqbed_chardev_wake(struct irqbed_queue *queue)
{
	wake_up_interruptible_poll(&queue->wait, EPOLLIN | EPOLLRDNORM);
}

static void irqbed_chardev_notify(struct irqbed_ring *ring,
				  const struct irqbed_event *event)
{
	irqbed_queues_notify(ring, event, irqbed_chardev_wake);
}

const struct irqbed_notifier irqbed_notify_chardev = {
	.name = "chardev",
	.takes_queues = true,
	.notify = irqbed_chardev_notify,
};
