// SPDX-License-Identifier: GPL-2.0
/*
 * Notifier 'netlink': netlink_unicast() to each subscriber.
 *
 * May it be called in a hard interrupt handler? Read in net/netlink and
 * net/core of 6.12, path by path:
 *
 * - Lookup of the port is RCU only. The reference it takes on the listener's
 *   socket is never the last one here: a dying socket gives its own back after
 *   a grace period, which cannot end while a hard interrupt handler runs.
 * - netlink_trim() is called with GFP_KERNEL, because gfp_any() only knows
 *   softirqs, but masks direct reclaim out, and has no reason to copy a buffer
 *   of the size irqbed_event_skb() asks for.
 * - The receive queue's lock and the wait queue's are taken with interrupts
 *   off by everybody.
 * - A full socket: the buffer is freed before it was charged to the socket, so
 *   there is no destructor to run, which is what DEBUG_NET would object to in
 *   hard interrupts; sk_error_report() only wakes.
 * - A listener with a socket filter runs it here, and one it drops counts as
 *   sent: it asked for that.
 *
 * So on a kernel without PREEMPT_RT it is legal, although hardly any driver
 * does it. On PREEMPT_RT these locks sleep, and irqbed_main.c leaves the
 * handler to a thread.
 */
#include <linux/socket.h>

#include "irqbed_netlink.h"
#include "notify.h"

static inline void irqbed_unicast(struct irqbed_ring *ring,
				  struct sk_buff *skb, u32 port)
{
	int ret;

	if (unlikely(!skb)) {
		ring->counters.no_memory++;
		return;
	}
	ret = netlink_unicast(irqbed_sock, skb, port, MSG_DONTWAIT);
	if (likely(ret > 0))
		ring->counters.sent++;
	else if (ret == -EAGAIN)
		ring->counters.socket_full++;
	else
		/*
		 * -ECONNREFUSED: no such port, or one that has connected
		 * itself to somebody else.
		 */
		ring->counters.listener_gone++;
}

static void irqbed_netlink_notify(struct irqbed_ring *ring,
				  const struct irqbed_event *event)
{
	/* A place before the end has been filled. */
	u32 end = smp_load_acquire(&irqbed_subscribers_end);
	struct sk_buff *skb = NULL;
	u32 i, port = 0;

	/*
	 * The message itself goes to the last subscriber and clones of it to
	 * those before: one listener costs no clone, many no second copy.
	 */
	for (i = 0; i < end; i++) {
		u64 subscriber = READ_ONCE(irqbed_subscribers[i]);

		if (!irqbed_subscriber_wants(subscriber, event->message.vector))
			continue;
		if (!port)
			skb = irqbed_event_skb(event);
		else
			irqbed_unicast(ring,
				       skb ? skb_clone(skb, GFP_ATOMIC) : NULL,
				       port);
		port = irqbed_subscriber_port(subscriber);
	}
	if (likely(port))
		irqbed_unicast(ring, skb, port);
	else
		ring->counters.no_listener++;
}

const struct irqbed_notifier irqbed_notify_netlink = {
	.name = "netlink",
	.takes_subscribers = true,
	.notify = irqbed_netlink_notify,
};
