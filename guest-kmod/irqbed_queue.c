// SPDX-License-Identifier: GPL-2.0
/*
 * The queue of an open file: written by the notifiers from any context, read
 * by a process, through the driver or by itself.
 *
 * Nothing is allocated and nothing sleeps on the way in: the ring is there
 * before the first event. An event that finds no room is dropped and counted
 * (queue_full, and in the header, where the process sees it); those that are in
 * the ring are never overwritten.
 */
#include <linux/atomic.h>
#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/vmalloc.h>

#include <asm/barrier.h>

#include "irqbed_queue.h"

/* Listeners with a queue now, and events cut short for a reader so far. */
static atomic64_t irqbed_queues;
static atomic64_t irqbed_truncated;
static atomic64_t irqbed_queues_forgotten;

/* The pages that can be mapped. */
unsigned long irqbed_queue_pages(const struct irqbed_queue *queue)
{
	return 2 + queue->size / PAGE_SIZE;
}

struct irqbed_queue *irqbed_queue_new(u32 vectors, u32 size,
				      struct eventfd_ctx *eventfd)
{
	struct irqbed_queue *queue;

	queue = kzalloc(sizeof(*queue), GFP_KERNEL_ACCOUNT);
	if (!queue)
		return NULL;
	queue->vectors = vectors;
	queue->size = size;
	/* Charged to the memory cgroup of the process. */
	queue->header = __vmalloc(irqbed_queue_pages(queue) * PAGE_SIZE,
				  GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!queue->header) {
		kfree(queue);
		return NULL;
	}
	queue->tail = (void *)queue->header + PAGE_SIZE;
	queue->data = (void *)queue->header + 2 * PAGE_SIZE;
	queue->eventfd = eventfd;
	INIT_LIST_HEAD(&queue->ending);
	queue->header->size = size;
	raw_spin_lock_init(&queue->lock);
	init_waitqueue_head(&queue->wait);
	mutex_init(&queue->reader);
	return queue;
}

/* Has events put into a queue, under the lock of the list. */
void irqbed_queue_attach(struct irqbed_queue *queue, struct list_head *queues)
{
	queue->attached = true;
	queue->listens = true;
	list_add_tail_rcu(&queue->node, queues);
	atomic64_inc(&irqbed_queues);
}

/*
 * Has no more of them put into it, under the lock of the list. Those that are on
 * their way arrive within a grace period. The caller waits for it without its
 * locks, and before it stops the queue.
 */
void irqbed_queue_detach(struct irqbed_queue *queue)
{
	if (queue->attached)
		list_del_rcu(&queue->node);
	queue->attached = false;
}

/* It is detached, and no file has it. */
void irqbed_queue_free(struct irqbed_queue *queue)
{
	if (queue->listens && !irqbed_queue_stopped(queue)) {
		synchronize_rcu();
		atomic64_inc(&irqbed_queues_forgotten);
	}
	if (queue->listens)
		atomic64_dec(&irqbed_queues);
	if (queue->eventfd)
		eventfd_ctx_put(queue->eventfd);
	mutex_destroy(&queue->reader);
	vfree(queue->header);
	kfree(queue);
}

/*
 * No more events come. The caller has waited for a grace period since it
 * detached the queue. Waiting processes get the events that are left, and then
 * the end.
 */
void irqbed_queue_stop(struct irqbed_queue *queue)
{
	/* A reader that sees it sees the last event too. */
	smp_store_release(&queue->header->stopped, 1);
	wake_up_interruptible_poll(&queue->wait, EPOLLIN | EPOLLRDNORM | EPOLLHUP);
	if (queue->eventfd)
		irqbed_eventfd_signal(queue->eventfd);
	kill_fasync(&queue->async, SIGIO, POLL_HUP);
}

bool irqbed_queue_stopped(const struct irqbed_queue *queue)
{
	return smp_load_acquire(&queue->header->stopped);
}

bool irqbed_queue_empty(const struct irqbed_queue *queue)
{
	/* Both are indices of ours as long as the process has not written. */
	return READ_ONCE(queue->tail->tail) >=
	       smp_load_acquire(&queue->header->head);
}

static void irqbed_queue_write(struct irqbed_queue *queue, u64 at,
			       const void *from, u32 len)
{
	u32 start = at & (queue->size - 1);
	u32 first = min(len, queue->size - start);

	memcpy(queue->data + start, from, first);
	if (unlikely(first < len))
		memcpy(queue->data, from + first, len - first);
}

/* Whether the event is in the queue; what became of it is counted. */
bool irqbed_queue_push(struct irqbed_ring *ring, struct irqbed_queue *queue,
		       const struct irqbed_event *event)
{
	u32 len = sizeof(event->message) + event->message.payload_len;
	u32 room = ALIGN(len, IRQBED_QUEUE_ALIGN);
	unsigned long flags;
	u64 used;

	raw_spin_lock_irqsave(&queue->lock, flags);
	/*
	 * The tail may be the process's own: a wrong one is more in use than
	 * there is, and harms only that process. Its reads of the ring are over
	 * before it moves the tail.
	 */
	used = queue->head - smp_load_acquire(&queue->tail->tail);
	if (unlikely(used > queue->size || room > queue->size - used)) {
		WRITE_ONCE(queue->header->dropped, queue->header->dropped + 1);
		ring->counters.queue_full++;
		raw_spin_unlock_irqrestore(&queue->lock, flags);
		return false;
	}
	irqbed_queue_write(queue, queue->head, &event->message,
			   sizeof(event->message));
	irqbed_queue_write(queue, queue->head + sizeof(event->message),
			   event->payload, event->message.payload_len);
	queue->head += room;
	/* A reader that sees the head sees the event. */
	smp_store_release(&queue->header->head, queue->head);
	raw_spin_unlock_irqrestore(&queue->lock, flags);
	ring->counters.sent++;
	return true;
}

static int irqbed_queue_copy(const struct irqbed_queue *queue, u64 at,
			     struct iov_iter *to, u32 len)
{
	u32 start = at & (queue->size - 1);
	u32 first = min(len, queue->size - start);

	if (copy_to_iter(queue->data + start, first, to) != first)
		return -EFAULT;
	if (unlikely(first < len) &&
	    copy_to_iter(queue->data, len - first, to) != len - first)
		return -EFAULT;
	return 0;
}

/*
 * Copies the oldest event, as much of it as fits, and takes it off: the bytes
 * copied, 0 when there is none. The reader knows by payload_len that it did not
 * get all of it. With @nowait -EAGAIN when another reader is at it.
 */
ssize_t irqbed_queue_take(struct irqbed_queue *queue, struct iov_iter *to,
			  bool nowait)
{
	struct irqbed_event_message message;
	size_t len = iov_iter_count(to);
	ssize_t ret = 0;
	u64 tail, used;
	u32 whole;

	if (len < sizeof(message))
		return -EINVAL;
	if (!mutex_trylock(&queue->reader)) {
		if (nowait)
			return -EAGAIN;
		if (mutex_lock_interruptible(&queue->reader))
			return -ERESTARTSYS;
	}
	tail = READ_ONCE(queue->tail->tail);
	used = smp_load_acquire(&queue->header->head) - tail;
	if (!used)
		goto unlock;
	/* A process that moves the tail by itself, and wrongly. */
	ret = -EINVAL;
	if (used > queue->size || tail % IRQBED_QUEUE_ALIGN)
		goto unlock;
	/* A message is three times the alignment and may be cut as well. */
	for (whole = 0; whole < sizeof(message); whole += sizeof(u64))
		memcpy((void *)&message + whole,
		       queue->data + ((tail + whole) & (queue->size - 1)),
		       sizeof(u64));
	if (message.payload_len > IRQBED_MAX_PAYLOAD)
		goto unlock;
	whole = sizeof(message) + message.payload_len;

	ret = irqbed_queue_copy(queue, tail, to, min_t(size_t, len, whole));
	if (ret)
		goto unlock;
	if (len < whole)
		atomic64_inc(&irqbed_truncated);
	ret = min_t(size_t, len, whole);
	/* The copy is made: the driver may write there. */
	smp_store_release(&queue->tail->tail,
			  tail + ALIGN(whole, IRQBED_QUEUE_ALIGN));
unlock:
	mutex_unlock(&queue->reader);
	return ret;
}

/*
 * Header and ring can only be read; the tail, which is a page of its own
 * between them, can be written when it is mapped alone. @page is the first one
 * to be mapped.
 */
int irqbed_queue_mmap(struct irqbed_queue *queue, struct vm_area_struct *vma,
		      unsigned long page)
{
	unsigned long pages = vma_pages(vma), i;
	int err = 0;

	if (page > irqbed_queue_pages(queue) ||
	    pages > irqbed_queue_pages(queue) - page)
		return -EINVAL;
	if (page != 1 || pages != 1) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		/* Nor may mprotect() change that. */
		irqbed_vm_flags_clear(vma, VM_MAYWRITE);
	}
	irqbed_vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP);
	/* remap_vmalloc_range() takes no memory that is charged to a cgroup. */
	for (i = 0; i < pages && !err; i++)
		err = vm_insert_page(vma, vma->vm_start + i * PAGE_SIZE,
				     vmalloc_to_page((void *)queue->header +
						     (page + i) * PAGE_SIZE));
	return err;
}

/* A page of the above, with a reference; NULL behind the end. */
struct page *irqbed_queue_page(const struct irqbed_queue *queue,
			       unsigned long nr)
{
	struct page *page;

	if (nr >= irqbed_queue_pages(queue))
		return NULL;
	page = vmalloc_to_page((void *)queue->header + (nr << PAGE_SHIFT));
	get_page(page);
	return page;
}

void irqbed_queue_read_counters(struct irqbed_counters *sum)
{
	sum->subscribers += atomic64_read(&irqbed_queues);
	sum->listeners_forgotten += atomic64_read(&irqbed_queues_forgotten);
	sum->truncated = atomic64_read(&irqbed_truncated);
}
