// SPDX-License-Identifier: GPL-2.0
/*
 * The contexts in which events are delivered, and the table of them: the hard
 * interrupt itself, its thread, a softirq, a worker. All but the first leave the
 * ring to a bottom half that runs later; what each of them adds to the journey of
 * an event is what irqbed measures.
 *
 * A bottom half runs at most once at a time for a ring, and once more when it is
 * scheduled while it runs. irqbed_ring.c depends on both.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cache.h>
#include <linux/errno.h>
#include <linux/interrupt.h>
#include <linux/kernel.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "irqbed.h"
#include "irqbed_stamp.h"

/* The IRQ thread: SCHED_FIFO, one per interrupt. */

static irqreturn_t irqbed_enter_threaded(int irq, void *data)
{
	irqbed_ring_enter(data, irqbed_stamp());
	return IRQ_WAKE_THREAD;
}

static irqreturn_t irqbed_thread(int irq, void *data)
{
	irqbed_ring_drain_deferred(data);
	return IRQ_HANDLED;
}

/* Softirq. */

static irqreturn_t irqbed_enter_bh(int irq, void *data)
{
	struct irqbed_ring *ring = data;

	irqbed_ring_enter(ring, irqbed_stamp());
	irqbed_bh_schedule(&ring->bh);
	return IRQ_HANDLED;
}

static bool irqbed_share_bh(struct irqbed_ring *ring, u64 entry)
{
	bool found = irqbed_ring_enter_shared(ring, entry);

	if (found)
		irqbed_bh_schedule(&ring->bh);
	return found;
}

static void irqbed_bh_run(struct irqbed_bh *bh)
{
	irqbed_ring_drain_deferred(container_of(bh, struct irqbed_ring, bh));
}

static void irqbed_bh_prepare(struct irqbed_ring *ring)
{
	irqbed_bh_init(&ring->bh, irqbed_bh_run);
}

static void irqbed_bh_end(struct irqbed_ring *ring)
{
	irqbed_bh_cancel(&ring->bh);
}

/* A worker of a queue of our own: a kernel thread of nice -20. */

static struct workqueue_struct *irqbed_events_wq;

static irqreturn_t irqbed_enter_workqueue(int irq, void *data)
{
	struct irqbed_ring *ring = data;

	irqbed_ring_enter(ring, irqbed_stamp());
	queue_work(irqbed_events_wq, &ring->work);
	return IRQ_HANDLED;
}

static bool irqbed_share_workqueue(struct irqbed_ring *ring, u64 entry)
{
	bool found = irqbed_ring_enter_shared(ring, entry);

	if (found)
		queue_work(irqbed_events_wq, &ring->work);
	return found;
}

static void irqbed_work_run(struct work_struct *work)
{
	irqbed_ring_drain_deferred(container_of(work, struct irqbed_ring, work));
}

static void irqbed_work_prepare(struct irqbed_ring *ring)
{
	INIT_WORK(&ring->work, irqbed_work_run);
}

static void irqbed_work_end(struct irqbed_ring *ring)
{
	cancel_work_sync(&ring->work);
}

static int irqbed_workqueue_start(void)
{
	/*
	 * A ring is in order by itself; rings need not wait for each other, as
	 * they would in an ordered queue.
	 */
	irqbed_events_wq = alloc_workqueue("irqbed-events",
					   WQ_HIGHPRI | WQ_PERCPU, 0);
	return irqbed_events_wq ? 0 : -ENOMEM;
}

static void irqbed_workqueue_stop(void)
{
	destroy_workqueue(irqbed_events_wq);
}

static const struct irqbed_context irqbed_contexts[] = {
	{
		.name = "hardirq",
		.handler = irqbed_interrupt,
		.share = irqbed_ring_drain,
	}, {
		.name = "threaded",
		.handler = irqbed_enter_threaded,
		.thread = irqbed_thread,
		.share = irqbed_ring_enter_shared,
		.deferred = true,
	}, {
		.name = "bh",
		.handler = irqbed_enter_bh,
		.share = irqbed_share_bh,
		.deferred = true,
		.prepare = irqbed_bh_prepare,
		.cancel = irqbed_bh_end,
	}, {
		.name = "workqueue",
		.handler = irqbed_enter_workqueue,
		.share = irqbed_share_workqueue,
		.deferred = true,
		.start = irqbed_workqueue_start,
		.stop = irqbed_workqueue_stop,
		.prepare = irqbed_work_prepare,
		.cancel = irqbed_work_end,
	},
};

const struct irqbed_context *irqbed_context __ro_after_init;

int irqbed_context_select(const char *name)
{
	char known[128] = "";
	size_t i, len = 0;

	for (i = 0; i < ARRAY_SIZE(irqbed_contexts); i++) {
		if (!strcmp(name, irqbed_contexts[i].name)) {
			irqbed_context = &irqbed_contexts[i];
			return 0;
		}
		len += scnprintf(known + len, sizeof(known) - len, "%s%s",
				 i ? ", " : "", irqbed_contexts[i].name);
	}
	pr_err("there is no context '%s'; load with context= one of: %s\n",
	       name, known);
	return -EINVAL;
}
