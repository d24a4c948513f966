// SPDX-License-Identifier: GPL-2.0
/*
 * Notifier 'genetlink': the family's event to each subscriber, by unicast.
 *
 * Its path is that of notify_netlink.c, through the socket of generic netlink
 * instead of one's own, and what is said there of hard interrupts holds here,
 * as long as nobody taps netlink (irqbed_taps.c). Generic netlink adds nothing
 * to it when it sends: its lock guards families and operations, and a message
 * is written by the caller.
 */
#include <linux/netlink.h>

#include "irqbed_genetlink.h"
#include "irqbed_notifier.h"
#include "irqbed_send.h"
#include "irqbed_subscribers.h"
#include "irqbed_taps.h"

static void irqbed_genetlink_notify(struct irqbed_ring *ring,
				    const struct irqbed_event *event)
{
	irqbed_send(ring, &init_net.genl_sock, NULL, event, irqbed_genl_event,
		    1);
}

static int irqbed_genetlink_notify_start(void)
{
	int err = irqbed_taps_exclude();

	if (err)
		return err;
	err = irqbed_subscribers_start(NETLINK_GENERIC);
	if (err)
		irqbed_taps_allow();
	return err;
}

static void irqbed_genetlink_notify_stop(void)
{
	irqbed_subscribers_stop();
	irqbed_taps_allow();
}

const struct irqbed_notifier irqbed_notify_genetlink = {
	.name = "genetlink",
	.start = irqbed_genetlink_notify_start,
	.stop = irqbed_genetlink_notify_stop,
	.notify = irqbed_genetlink_notify,
};
