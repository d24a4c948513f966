// SPDX-License-Identifier: GPL-2.0
/*
 * Notifier 'netlink-broadcast': one netlink_broadcast() to the group.
 *
 * In a hard interrupt handler what notify_netlink.c says holds here too, and
 * two things more. The table of sockets is locked with interrupts off (since
 * 5.11, "netlink: disable IRQs for netlink_lock_table()"; before, this could
 * deadlock). And netlink_broadcast() gives its own reference to the buffer up
 * at the end. To a single listener it delivers that very buffer: one that reads
 * on another processor may free its reference first, and then the last one is
 * dropped here, with a destructor, which DEBUG_NET warns of in hard interrupts
 * (it happens to be harmless: an atomic subtraction). A second reference makes
 * it deliver clones, so that the buffer freed here was never charged to
 * anybody. The clone costs some 500 instructions: from isr to user a broadcast
 * takes 587 more than unicast on two processors (6,875 and 6,288 on 6.12.117),
 * 92 more on one (6,245 and 6,153), where it is not made.
 */
#include "irqbed_netlink.h"
#include "irqbed_notifier.h"
#include "irqbed_send.h"

static void irqbed_broadcast_notify(struct irqbed_ring *ring,
				    const struct irqbed_event *event)
{
	irqbed_broadcast(ring, irqbed_sock, IRQBED_GROUP_EVENTS, event,
			 irqbed_event_skb);
}

const struct irqbed_notifier irqbed_notify_netlink_broadcast = {
	.name = "netlink-broadcast",
	.notify = irqbed_broadcast_notify,
};
