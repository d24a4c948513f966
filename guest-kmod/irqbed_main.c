// SPDX-License-Identifier: GPL-2.0
/*
 * The module: its parameters, and its parts in the order they need each other.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/pci.h>

#include "irqbed.h"
#include "irqbed_genetlink.h"
#include "irqbed_netlink.h"
#include "irqbed_notifier.h"
#include "irqbed_stamp.h"

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

static char *irq = "msix";
module_param(irq, charp, 0444);
MODULE_PARM_DESC(irq, "How the device interrupts: msix, msi or intx (default msix)");

static int irqbed_check_parameters(void)
{
	return irqbed_irq_select(irq) ?: irqbed_rings_check_parameters() ?:
	       irqbed_context_select(context) ?:
	       irqbed_notifier_select(notifier, batch);
}

static int __init irqbed_init(void)
{
	int err;

	err = irqbed_check_parameters();
	if (err)
		return err;
	irqbed_stamps_select();
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
