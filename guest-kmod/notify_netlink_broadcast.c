// SPDX-License-Identifier: GPL-2.0
/*
 * Notifier 'netlink-broadcast': one netlink_broadcast() to the group.
 *
 * In a hard interrupt handler what notify_netlink.c says holds here too, and
 * two things more. The table of sockets is locked with interrupts off (since
 * 5.11, "netlink: disable IRQs for netlink_lock_table()"; before, this could
 * deadlock). And netlink_broadcast() gives its own reference to the buffer up
 * at the end, when a listener on another processor may have read and freed the
 * one it got: with a single listener that would be the same buffer, charged to
 * the listener's socket, and freeing it in a hard interrupt is what DEBUG_NET
 * warns of. A second reference makes the kernel deliver clones, and the buffer
 * that is freed here is never charged to anybody.
 */
#include <linux/netlink.h>

#include "irqbed_netlink.h"
#include "notify.h"

static void irqbed_broadcast_notify(struct irqbed_ring *ring,
				    const struct irqbed_event *event)
{
	struct sk_buff *skb;
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

	skb_get(skb);
	ret = netlink_broadcast(irqbed_sock, skb, 0, IRQBED_GROUP_EVENTS,
				GFP_ATOMIC);
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
