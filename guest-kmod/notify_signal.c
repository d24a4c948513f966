// SPDX-License-Identifier: GPL-2.0
/*
 * Notifier 'signal': the queue of each open file, and a signal to the process
 * that asked for it by O_ASYNC: SIGIO, or what it chose by F_SETSIG. The process
 * takes the events from its mapping.
 *
 * SIGIO is pending or not: one may stand for several events. A real-time signal
 * is queued for each, up to the process's RLIMIT_SIGPENDING; what finds no room
 * or no memory there is turned into a plain SIGIO by the kernel. kill_fasync()
 * says nothing of all this, and no event depends on it.
 *
 * May it be called in a hard interrupt handler? Read in fs/fcntl.c and
 * kernel/signal.c of 6.12, lock by lock:
 *
 * - fa_lock of the entry and the owner's lock are taken for reading, with
 *   interrupts off; whoever writes has them off too.
 * - tasklist_lock, where the owner is a process group, is taken for reading
 *   only; who writes has interrupts off, since this is done from interrupts.
 * - The receiver's siglock is taken with interrupts off by everybody, and so
 *   are the run queue's locks behind the wake-up.
 * - The entry of the signal queue is allocated with GFP_ATOMIC.
 *
 * So on a kernel without PREEMPT_RT it is for any context.
 */
#include <linux/fs.h>
#include <linux/signal.h>

#include "irqbed_queue.h"
#include "notify.h"

static void irqbed_signal_wake(struct irqbed_queue *queue)
{
	kill_fasync(&queue->async, SIGIO, POLL_IN);
}

static void irqbed_signal_notify(struct irqbed_ring *ring,
				 const struct irqbed_event *event)
{
	irqbed_queues_notify(ring, event, irqbed_signal_wake);
}

const struct irqbed_notifier irqbed_notify_signal = {
	.name = "signal",
	.takes_queues = true,
	.takes_async = true,
	.notify = irqbed_signal_notify,
};
