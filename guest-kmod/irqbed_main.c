// SPDX-License-Identifier: GPL-2.0
/*
 * The module: its parameters, its parts in the order they need each other, and
 * the counters of its devices.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/list.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>

#include "irqbed.h"
#include "irqbed_genetlink.h"
#include "irqbed_netlink.h"
#include "irqbed_stamp.h"
#include "notify.h"

static int unit = IRQBED_DEFAULT_UNIT;
module_param(unit, int, 0444);
MODULE_PARM_DESC(unit, "Netlink protocol unit, 0 to 31 (default 31)");

static char *notifier = "netlink";
module_param(notifier, charp, 0444);
MODULE_PARM_DESC(notifier,
		 "How listeners are notified: netlink, netlink-broadcast, genetlink, genetlink-multicast, chardev, signal, eventfd, uio or mmap (default netlink)");

static char *context = "hardirq";
module_param(context, charp, 0444);
MODULE_PARM_DESC(context,
		 "Where events are delivered: hardirq, threaded, bh or workqueue (default hardirq)");

static unsigned int batch = 1;
module_param(batch, uint, 0444);
MODULE_PARM_DESC(batch,
		 "Most events in a message, 1 to 64, for a notifier that can (default 1)");

static bool stamps = true;
module_param(stamps, bool, 0444);
MODULE_PARM_DESC(stamps,
		 "Stamp the events; off only to find out what that costs (default on)");
DEFINE_STATIC_KEY_TRUE(irqbed_stamps);

unsigned int irqbed_vectors = IRQBED_VECTORS;
module_param_named(vectors, irqbed_vectors, uint, 0444);
MODULE_PARM_DESC(vectors,
		 "Most rings to use, each with a vector of its own where there are enough (default 32)");

static char *irq = "msix";
module_param(irq, charp, 0444);
MODULE_PARM_DESC(irq, "How the device interrupts: msix, msi or intx (default msix)");

unsigned int irqbed_ring_entries = 1024;
module_param_named(ring_entries, irqbed_ring_entries, uint, 0444);
MODULE_PARM_DESC(ring_entries,
		 "Records in a ring, a power of two from 2 to 65536 (default 1024)");

unsigned int irqbed_payload_area = 256 << 10;
module_param_named(payload_area, irqbed_payload_area, uint, 0444);
MODULE_PARM_DESC(payload_area,
		 "Payload area of a ring, bytes, a multiple of 64 from 8192 to 16777216 (default 262144)");

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
static void irqbed_retire(void *data)
{
	struct irqbed_device *idev = data;

	mutex_lock(&irqbed_devices_lock);
	list_del(&idev->node);
	irqbed_add_device_counters(&irqbed_retired, idev);
	mutex_unlock(&irqbed_devices_lock);
}

/* Counts the rings of a device from now on, and keeps the sum when it goes. */
int irqbed_enlist(struct irqbed_device *idev)
{
	mutex_lock(&irqbed_devices_lock);
	list_add_tail(&idev->node, &irqbed_devices);
	mutex_unlock(&irqbed_devices_lock);
	return devm_add_action_or_reset(&idev->pdev->dev, irqbed_retire, idev);
}

static int irqbed_check_parameters(void)
{
	if (!irqbed_vectors || irqbed_vectors > IRQBED_VECTORS) {
		pr_err("vectors=%u is not a number from 1 to %u\n",
		       irqbed_vectors, IRQBED_VECTORS);
		return -EINVAL;
	}
	if (!is_power_of_2(irqbed_ring_entries) ||
	    irqbed_ring_entries < IRQBED_MIN_ENTRIES ||
	    irqbed_ring_entries > IRQBED_MAX_ENTRIES) {
		pr_err("ring_entries=%u is not a power of two from %u to %u\n",
		       irqbed_ring_entries, IRQBED_MIN_ENTRIES,
		       IRQBED_MAX_ENTRIES);
		return -EINVAL;
	}
	if (irqbed_payload_area % IRQBED_PAYLOAD_ALIGN ||
	    irqbed_payload_area < IRQBED_MIN_PAYLOAD_AREA ||
	    irqbed_payload_area > IRQBED_MAX_PAYLOAD_AREA) {
		pr_err("payload_area=%u is not a multiple of %u from %u to %u\n",
		       irqbed_payload_area, IRQBED_PAYLOAD_ALIGN,
		       IRQBED_MIN_PAYLOAD_AREA, IRQBED_MAX_PAYLOAD_AREA);
		return -EINVAL;
	}
	return irqbed_irq_select(irq) ?: irqbed_context_select(context) ?:
	       irqbed_notifier_select(notifier, batch);
}

static int __init irqbed_init(void)
{
	int err;

	err = irqbed_check_parameters();
	if (err)
		return err;
	if (!stamps)
		static_branch_disable(&irqbed_stamps);
	err = irqbed_netlink_start(unit);
	if (err)
		return err;
	if (irqbed_context->start) {
		err = irqbed_context->start();
		if (err)
			goto stop_netlink;
	}
	if (irqbed_notifier->start) {
		err = irqbed_notifier->start();
		if (err)
			goto stop_context;
	}
	/* After what its requests need. */
	err = irqbed_genetlink_start();
	if (err)
		goto stop_notifier;
	err = pci_register_driver(&irqbed_driver);
	if (err)
		goto stop_genetlink;
	return 0;

stop_genetlink:
	irqbed_genetlink_stop();
stop_notifier:
	if (irqbed_notifier->stop)
		irqbed_notifier->stop();
stop_context:
	if (irqbed_context->stop)
		irqbed_context->stop();
stop_netlink:
	irqbed_netlink_stop();
	return err;
}

/* Devices first: then nobody is left who could notify. */
static void __exit irqbed_exit(void)
{
	pci_unregister_driver(&irqbed_driver);
	irqbed_genetlink_stop();
	if (irqbed_notifier->stop)
		irqbed_notifier->stop();
	if (irqbed_context->stop)
		irqbed_context->stop();
	irqbed_netlink_stop();
}

module_init(irqbed_init);
module_exit(irqbed_exit);

MODULE_AUTHOR("The irqbed project");
MODULE_DESCRIPTION("Driver of the irqbed event device: how long an interrupt takes to reach a process");
MODULE_LICENSE("GPL");
