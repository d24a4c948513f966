/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How the notifiers by netlink send, over the driver's own protocol and over
 * generic netlink alike: to each subscriber, or once to a group. What became of
 * it is counted here. Only inline functions, with constant arguments: they are
 * part of what irqbed measures.
 */
#ifndef IRQBED_SEND_H
#define IRQBED_SEND_H

#include <linux/cpumask.h>
#include <linux/netlink.h>
#include <linux/skbuff.h>
#include <linux/socket.h>

#include "irqbed.h"
#include "irqbed_subscribers.h"

/* Makes the message of an event, from any context; NULL for want of memory. */
typedef struct sk_buff *(*irqbed_make_t)(const struct irqbed_event *event);

/* A buffer with @room bytes for messages, from any context. */
static inline struct sk_buff *irqbed_events_skb(size_t room)
{
	struct sk_buff *skb = alloc_skb(room, GFP_ATOMIC);

	/*
	 * A buffer from the emergency reserve would be dropped by the
	 * listener's socket filter, and netlink_unicast() would call that
	 * success.
	 */
	if (likely(skb) && unlikely(skb_pfmemalloc(skb))) {
		kfree_skb(skb);
		return NULL;
	}
	return skb;
}

/* @skb holds @events; NULL where there was no memory for it. */
static inline void irqbed_unicast(struct irqbed_ring *ring,
				  struct sock *const *sock, struct sk_buff *skb,
				  u32 port, u32 events)
{
	int ret;

	if (unlikely(!skb)) {
		ring->counters.no_memory += events;
		return;
	}
	ret = netlink_unicast(*sock, skb, port, MSG_DONTWAIT);
	if (likely(ret > 0))
		ring->counters.sent += events;
	else if (ret == -EAGAIN)
		ring->counters.socket_full += events;
	else
		/*
		 * -ECONNREFUSED: no such port, or one that has connected
		 * itself to somebody else.
		 */
		ring->counters.listener_gone += events;
}

/*
 * Sends @skb, which holds @events, to each subscriber, or where @event is not
 * NULL what @make makes of it as soon as somebody wants it. @sock is read where
 * it is used, so that the loop need not keep it.
 */
static __always_inline void
irqbed_send(struct irqbed_ring *ring, struct sock *const *sock,
	    struct sk_buff *skb, const struct irqbed_event *event,
	    irqbed_make_t make, u32 events)
{
	/* A place before the end has been filled. */
	u32 end = smp_load_acquire(&irqbed_subscribers_end);
	u32 i, port = 0;

	/*
	 * The message itself goes to the last subscriber and clones of it to
	 * those before: one listener costs no clone, many no second copy.
	 */
	for (i = 0; i < end; i++) {
		u64 subscriber = READ_ONCE(irqbed_subscribers[i]);

		if (!irqbed_subscriber_wants(subscriber, ring->vector))
			continue;
		if (port)
			irqbed_unicast(ring, sock,
				       skb ? skb_clone(skb, GFP_ATOMIC) : NULL,
				       port, events);
		else if (event)
			skb = make(event);
		port = irqbed_subscriber_port(subscriber);
	}
	if (likely(port)) {
		irqbed_unicast(ring, sock, skb, port, events);
		return;
	}
	ring->counters.no_listener += events;
	if (!event)
		kfree_skb(skb);
}

/* Sends what @make makes of an event to a group, see notify_netlink_broadcast.c. */
static __always_inline void
irqbed_broadcast(struct irqbed_ring *ring, struct sock *sock, u32 group,
		 const struct irqbed_event *event, irqbed_make_t make)
{
	struct sk_buff *skb;
	bool shared;
	int ret;

	if (!netlink_has_listeners(sock, group)) {
		ring->counters.no_listener++;
		return;
	}
	skb = make(event);
	if (unlikely(!skb)) {
		ring->counters.no_memory++;
		return;
	}
	NETLINK_CB(skb).dst_group = group;

	shared = num_online_cpus() > 1;
	if (shared)
		skb_get(skb);
	ret = netlink_broadcast(sock, skb, 0, group, GFP_ATOMIC);
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
	else if (ret == -ENOBUFS || netlink_has_listeners(sock, group))
		ring->counters.socket_full++;
	else
		ring->counters.listener_gone++;
}

#endif /* IRQBED_SEND_H */
