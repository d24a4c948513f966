/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The queue of an open file: events on their way to one process, for every
 * notifier that is not netlink.
 *
 * The events lie in a ring of bytes, each an irqbed_event_message and its
 * payload, padded to IRQBED_QUEUE_ALIGN and cut in two where the ring ends. The
 * driver writes and moves the head, the reader moves the tail: the driver,
 * for read() and the ioctl, or the process itself, which can map the ring and
 * the two indices (see irqbed_queue_header in irqbed_abi.h).
 */
#ifndef IRQBED_QUEUE_H
#define IRQBED_QUEUE_H

#include <linux/mutex.h>
#include <linux/rculist.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "irqbed.h"

struct eventfd_ctx;
struct fasync_struct;
struct iov_iter;
struct page;
struct uio_info;
struct vm_area_struct;

struct irqbed_queue {
	/*
	 * In irqbed_device.queues while it is attached; the notifiers walk it
	 * under RCU. Guarded by the lock of that list, as is all up to
	 * @listens.
	 */
	struct list_head node;
	bool attached;
	/* In the list of those that end with their device. */
	struct list_head ending;
	/* It is attached, or was. */
	bool listens;
	/* Bit v: wants the events of vector v. */
	u32 vectors;
	/* Bytes of @data, a power of two. */
	u32 size;
	/*
	 * Shared with the process: one page that the driver writes, one that
	 * the process may write and that is believed only after a check, and
	 * the ring.
	 */
	struct irqbed_queue_header *header;
	struct irqbed_queue_tail *tail;
	u8 *data;
	/* The driver's own head; what @header says is a copy. */
	u64 head;
	/*
	 * Guards the head against rings that are drained at the same time.
	 * Taken in the context that the module was loaded with, hard interrupts
	 * among them; raw, as these take no other under PREEMPT_RT.
	 */
	raw_spinlock_t lock;
	wait_queue_head_t wait;
	/* To be signalled, or NULL. */
	struct eventfd_ctx *eventfd;
	/* To be notified, where there is such; not the queue's own. */
	struct uio_info *uio;
	/* Those who asked by O_ASYNC; changed by fasync_helper() alone. */
	struct fasync_struct *async;
	/* Guards the tail among readers. Taken in process context only. */
	struct mutex reader;
};

struct irqbed_queue *irqbed_queue_new(u32 vectors, u32 size,
				      struct eventfd_ctx *eventfd);
void irqbed_queue_attach(struct irqbed_queue *queue, struct list_head *queues);
void irqbed_queue_detach(struct irqbed_queue *queue);
void irqbed_queue_free(struct irqbed_queue *queue);
void irqbed_queue_stop(struct irqbed_queue *queue);
bool irqbed_queue_empty(const struct irqbed_queue *queue);
bool irqbed_queue_stopped(const struct irqbed_queue *queue);
ssize_t irqbed_queue_take(struct irqbed_queue *queue, struct iov_iter *to,
			  bool nowait);
int irqbed_queue_mmap(struct irqbed_queue *queue, struct vm_area_struct *vma,
		      unsigned long page);
unsigned long irqbed_queue_pages(const struct irqbed_queue *queue);
struct page *irqbed_queue_page(const struct irqbed_queue *queue,
			       unsigned long nr);
void irqbed_queue_read_counters(struct irqbed_counters *sum);

bool irqbed_queue_push(struct irqbed_ring *ring, struct irqbed_queue *queue,
		       const struct irqbed_event *event);

/*
 * Puts an event into each queue that wants it and has @wake called for those
 * that took it.
 */
static __always_inline void
irqbed_queues_notify(struct irqbed_ring *ring, const struct irqbed_event *event,
		     void (*wake)(struct irqbed_queue *queue))
{
	struct irqbed_queue *queue;
	bool wanted = false;

	rcu_read_lock();
	list_for_each_entry_rcu(queue, &ring->idev->queues, node) {
		if (!(queue->vectors & BIT(event->message.vector)))
			continue;
		wanted = true;
		if (likely(irqbed_queue_push(ring, queue, event)))
			wake(queue);
	}
	rcu_read_unlock();
	if (unlikely(!wanted))
		ring->counters.no_listener++;
}

/*
 * Defines a notifier's @name_notify(): each queue that took the event is passed
 * to the statement @wake. In line, because an indirect call would be measured.
 */
#define IRQBED_DEFINE_QUEUE_NOTIFY(name, wake)				\
static __always_inline void name##_wake(struct irqbed_queue *queue)	\
{									\
	wake;								\
}									\
									\
static void name##_notify(struct irqbed_ring *ring,			\
			  const struct irqbed_event *event)		\
{									\
	irqbed_queues_notify(ring, event, name##_wake);			\
}

#endif /* IRQBED_QUEUE_H */
