// SPDX-License-Identifier: GPL-2.0
/*
 * Notifier 'genetlink-multicast': the family's event to its group, once.
 *
 * As notify_netlink_broadcast.c, through the socket of generic netlink; what is
 * said there of hard interrupts and of two processors holds here, as long as
 * nobody taps netlink (irqbed_taps.c). The number of the group is the kernel's
 * choice, so a listener asks for it by its name.
 */
#include "irqbed_genetlink.h"
#include "irqbed_notifier.h"
#include "irqbed_send.h"
#include "irqbed_taps.h"

static void irqbed_genetlink_multicast_notify(struct irqbed_ring *ring,
					      const struct irqbed_event *event)
{
	irqbed_broadcast(ring, init_net.genl_sock,
			 irqbed_genl_family.mcgrp_offset, event,
			 irqbed_genl_event);
}

const struct irqbed_notifier irqbed_notify_genetlink_multicast = {
	.name = "genetlink-multicast",
	.start = irqbed_taps_exclude,
	.stop = irqbed_taps_allow,
	.notify = irqbed_genetlink_multicast_notify,
};
