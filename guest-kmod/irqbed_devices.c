// SPDX-License-Identifier: GPL-2.0
/*
 * The devices that there are: their counters, summed with those of devices that
 * are gone, and a flush of all their rings.
 */
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>

#include "irqbed.h"

/*
 * Guards the list of devices and the counters of devices that are gone. Taken
 * in process context only: in probe, removal, requests and the flush worker.
 */
static DEFINE_MUTEX(irqbed_devices_lock);
static LIST_HEAD(irqbed_devices);
static struct irqbed_counters irqbed_retired;

static void irqbed_add_ring_counters(struct irqbed_counters *sum,
				     const struct irqbed_ring_counters *ring)
{
	sum->interrupts += READ_ONCE(ring->interrupts);
	sum->merged_interrupts += READ_ONCE(ring->merged_interrupts);
	sum->events += READ_ONCE(ring->events);
	sum->sent += READ_ONCE(ring->sent);
	sum->no_listener += READ_ONCE(ring->no_listener);
	sum->socket_full += READ_ONCE(ring->socket_full);
	sum->listener_gone += READ_ONCE(ring->listener_gone);
	sum->no_memory += READ_ONCE(ring->no_memory);
	sum->bad_record += READ_ONCE(ring->bad_record);
	sum->queue_full += READ_ONCE(ring->queue_full);
	sum->missing_record += READ_ONCE(ring->missing_record);
	sum->rescues += READ_ONCE(ring->rescues);
}

static void irqbed_add_device_counters(struct irqbed_counters *sum,
				       const struct irqbed_device *idev)
{
	u32 v;

	for (v = 0; v < idev->nr_rings; v++)
		irqbed_add_ring_counters(sum, &idev->rings[v].counters);
	sum->recoveries += READ_ONCE(idev->watchdog.recoveries);
}

/* The counters of all rings that are and ever were; the others are left. */
void irqbed_read_counters(struct irqbed_counters *sum)
{
	const struct irqbed_device *idev;

	mutex_lock(&irqbed_devices_lock);
	*sum = irqbed_retired;
	list_for_each_entry(idev, &irqbed_devices, node)
		irqbed_add_device_counters(sum, idev);
	mutex_unlock(&irqbed_devices_lock);
}

/*
 * A flush in two steps, so that the lock is free while it waits and a device
 * can go meanwhile. One flush at a time: the worker of irqbed_netlink.c.
 */
void irqbed_flush_begin(void)
{
	struct irqbed_device *idev;
	u32 v;

	mutex_lock(&irqbed_devices_lock);
	list_for_each_entry(idev, &irqbed_devices, node) {
		/* What no interrupt will ever announce. */
		irqbed_watchdog_sync(idev);
		for (v = 0; v < idev->nr_rings; v++)
			idev->rings[v].flush_from =
				READ_ONCE(idev->rings[v].consumer.next);
	}
	mutex_unlock(&irqbed_devices_lock);
}

bool irqbed_flush_done(void)
{
	const struct irqbed_device *idev;
	bool done = true;
	u32 v;

	mutex_lock(&irqbed_devices_lock);
	list_for_each_entry(idev, &irqbed_devices, node) {
		for (v = 0; done && v < idev->nr_rings; v++)
			done = irqbed_ring_flushed(&idev->rings[v]);
	}
	mutex_unlock(&irqbed_devices_lock);
	return done;
}

/* Rings that are gone keep counting in the sum. Their interrupts are free. */
static void irqbed_devices_remove(void *data)
{
	struct irqbed_device *idev = data;

	mutex_lock(&irqbed_devices_lock);
	list_del(&idev->node);
	irqbed_add_device_counters(&irqbed_retired, idev);
	mutex_unlock(&irqbed_devices_lock);
}

/* Counts the rings of a device from now on, and keeps the sum when it goes. */
int irqbed_devices_add(struct irqbed_device *idev)
{
	mutex_lock(&irqbed_devices_lock);
	list_add_tail(&idev->node, &irqbed_devices);
	mutex_unlock(&irqbed_devices_lock);
	return devm_add_action_or_reset(&idev->pdev->dev, irqbed_devices_remove,
					idev);
}
