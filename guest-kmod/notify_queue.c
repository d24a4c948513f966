// SPDX-License-Identifier: GPL-2.0
/*
 * Notifiers 'chardev', 'signal', 'eventfd' and 'mmap': an event is put into the
 * queue of each open file that wants it, and its process is woken, in one of
 * four ways. Each of them may be called in a hard interrupt handler of a kernel
 * without PREEMPT_RT.
 */
#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/signal.h>
#include <linux/wait.h>

#include "irqbed_notifier.h"
#include "irqbed_queue.h"

/*
 * 'chardev': whoever waits in read(), poll() or the ioctl is woken. A wake-up
 * takes the wait queue's lock with interrupts off, and so does everybody else.
 */
IRQBED_DEFINE_QUEUE_NOTIFY(irqbed_chardev,
			   wake_up_interruptible_poll(&queue->wait,
						      EPOLLIN | EPOLLRDNORM))

const struct irqbed_notifier irqbed_notify_chardev = {
	.name = "chardev",
	.takes_queues = true,
	.notify = irqbed_chardev_notify,
};

/*
 * 'signal': to the process that asked for it by O_ASYNC: SIGIO, or what it chose
 * by F_SETSIG. The process takes the events from its mapping.
 *
 * SIGIO is pending or not: one may stand for several events. A real-time signal
 * is queued for each, up to the process's RLIMIT_SIGPENDING; what finds no room
 * or no memory there is turned into a plain SIGIO by the kernel. kill_fasync()
 * says nothing of all this, and no event depends on it.
 *
 * In a hard interrupt handler, read in fs/fcntl.c and kernel/signal.c of 6.12,
 * lock by lock:
 *
 * - fa_lock of the entry and the owner's lock are taken for reading, with
 *   interrupts off; whoever writes has them off too.
 * - tasklist_lock, where the owner is a process group, is taken for reading
 *   only; who writes has interrupts off, since this is done from interrupts.
 * - The receiver's siglock is taken with interrupts off by everybody, and so
 *   are the run queue's locks behind the wake-up.
 * - The entry of the signal queue is allocated with GFP_ATOMIC.
 */
IRQBED_DEFINE_QUEUE_NOTIFY(irqbed_signal,
			   kill_fasync(&queue->async, SIGIO, POLL_IN))

const struct irqbed_notifier irqbed_notify_signal = {
	.name = "signal",
	.takes_queues = true,
	.takes_async = true,
	.notify = irqbed_signal_notify,
};

/*
 * 'eventfd': to the eventfd that the process handed in. It takes the events from
 * its mapping.
 *
 * eventfd_signal() takes its lock with interrupts off and warns of nothing but a
 * signal within a signal, which interrupts off make impossible here. Its counter
 * adds up, so the process may be woken once for several events.
 */
IRQBED_DEFINE_QUEUE_NOTIFY(irqbed_eventfd,
			   irqbed_eventfd_signal(queue->eventfd))

const struct irqbed_notifier irqbed_notify_eventfd = {
	.name = "eventfd",
	.takes_queues = true,
	.needs_eventfd = true,
	.notify = irqbed_eventfd_notify,
};

/*
 * 'mmap': nobody is woken. The process polls its mapping all the time: what is
 * left is the floor under all other notifiers.
 */
IRQBED_DEFINE_QUEUE_NOTIFY(irqbed_mmap, (void)queue)

const struct irqbed_notifier irqbed_notify_mmap = {
	.name = "mmap",
	.takes_queues = true,
	.raw = true,
	.notify = irqbed_mmap_notify,
};
