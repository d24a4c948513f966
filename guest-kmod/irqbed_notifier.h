/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A notifier is one way to notify processes of an event. It has a file of its
 * own, notify_NAME.c, but for those that only wake a process at its queue
 * (notify_queue.c), and a line in the table of notify.c. The module parameter
 * 'notifier' selects one for the life of the module.
 */
#ifndef IRQBED_NOTIFIER_H
#define IRQBED_NOTIFIER_H

#include <linux/jump_label.h>
#include <linux/types.h>

struct irqbed_device;
struct irqbed_event;
struct irqbed_ring;

struct irqbed_notifier {
	/* As the module parameter says it. */
	const char *name;
	/* Whether IRQBED_IOC_LISTEN does, and whether it must bring an eventfd. */
	bool takes_queues;
	bool needs_eventfd;
	/* Whether O_ASYNC of a file with a queue does. */
	bool takes_async;
	/*
	 * Whether notify() takes no lock but raw ones: then a hard interrupt may
	 * call it under PREEMPT_RT, too.
	 */
	bool raw;
	/*
	 * Before the first event and after the last one, in process context;
	 * both may be NULL.
	 */
	int (*start)(void);
	void (*stop)(void);
	/*
	 * Gives a device what this notifier needs of its own, managed; the last
	 * step of its probe. May be NULL.
	 */
	int (*add_device)(struct irqbed_device *idev);
	/*
	 * Tells the listeners of one event and counts in ring->counters what
	 * became of it. Called in the context the module was loaded with, the
	 * hard interrupt handler among them, so it may not sleep; never twice
	 * at a time for one ring, but at the same time for several.
	 */
	void (*notify)(struct irqbed_ring *ring,
		       const struct irqbed_event *event);
	/*
	 * Of a notifier that can put several events into one message: with a
	 * module parameter 'batch' of more than 1, notify() may gather them in
	 * ring->batch, and this sends what it has. Called at the end of each
	 * drain, so that no event waits for one that may never come.
	 */
	void (*flush)(struct irqbed_ring *ring);
};

/*
 * The notifier the module was loaded with; set by notify.c before any ring is
 * armed. irqbed_ring.c has it, and the two below, because it calls it.
 */
extern const struct irqbed_notifier *irqbed_notifier;

/* Most events in a message, and whether that is more than 1. */
extern unsigned int irqbed_batch;
DECLARE_STATIC_KEY_FALSE(irqbed_batching);

int irqbed_notifier_select(const char *name, unsigned int batch);

extern const struct irqbed_notifier irqbed_notify_netlink;
extern const struct irqbed_notifier irqbed_notify_netlink_broadcast;
extern const struct irqbed_notifier irqbed_notify_genetlink;
extern const struct irqbed_notifier irqbed_notify_genetlink_multicast;
extern const struct irqbed_notifier irqbed_notify_chardev;
extern const struct irqbed_notifier irqbed_notify_signal;
extern const struct irqbed_notifier irqbed_notify_eventfd;
extern const struct irqbed_notifier irqbed_notify_uio;
extern const struct irqbed_notifier irqbed_notify_mmap;

#endif /* IRQBED_NOTIFIER_H */
