// SPDX-License-Identifier: GPL-2.0
/*
 * Notifier 'netlink-broadcast': one netlink_broadcast() to the group.
 *
 * In a hard interrupt handler what notify_netlink.c says holds here too, and
 * two things more. The table of sockets is locked with interrupts off (since
 * 5.11, "netlink: disable IRQs for netlink_lock_table()"; before, this could
 * deadlock). And netlink_broadcast() gives its own reference to the buffer up
 * at the end. To a single listener it delivers that very buffer: one who reads
 * on another processor may free its reference first, and then the last one is
 * dropped here, with a destructor, which DEBUG_NET warns of in hard interrupts
 * (it happens to be harmless: an atomic subtraction). A second reference makes
 * it deliver clones, so that the buffer freed here was never charged to
 * anybody. The clone costs some 500 instructions: from isr to user a broadcast
 * takes 587 more than unicast on two processors (6,875 and 6,288 on 6.12.117),
 * 92 more on one (6,245 and 6,153), where it is not made.
 */
#include <linux/cpumask.h>
#include <linux/netlink.h>

#include "irqbed_netlink.h"
#include "notify.h"

static void irqbed_broadcast_notify(struct irqbed_ring *ring,
				    const struct irqbed_event *event)
{
	struct sk_buff *skb;
	bool shared;
	int ret;

	if (!netlink_has_listeners(irqbed_sock, IRQBED_GROUP_EVENTS)) {
		ring->counters.no_listener++;
		return;
	}
	skb = irqbed_event_skb(event);
	if (unlikely(!skb)) {
		ring->counters.no_memory++;
		return;
	}
	NETLINK_CB(skb).dst_group = IRQBED_GROUP_EVENTS;

	shared = num_online_cpus() > 1;
	if (shared)
		skb_get(skb);
	ret = netlink_broadcast(irqbed_sock, skb, 0, IRQBED_GROUP_EVENTS,
				GFP_ATOMIC);
	if (shared)
		consume_skb(skb);

	/*
	 * One delivery an event, whatever the number of listeners. 0 says that
	 * some listener got it; those that did not know it from ENOBUFS and
	 * from the drops of their socket. -ENOBUFS is only for listeners that
	 * set NETLINK_BROADCAST_ERROR: one of them did not get it. -ESRCH says
	 * that nobody did, and not why.
	 */
	if (likely(!ret))
		ring->counters.sent++;
	else if (ret == -ENOBUFS ||
		 netlink_has_listeners(irqbed_sock, IRQBED_GROUP_EVENTS))
		ring->counters.socket_full++;
	else
		ring->counters.listener_gone++;
}

const struct irqbed_notifier irqbed_notify_netlink_broadcast = {
	.name = "netlink-broadcast",
	.notify = irqbed_broadcast_notify,
};
