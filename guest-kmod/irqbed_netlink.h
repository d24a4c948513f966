/* SPDX-License-Identifier: GPL-2.0 */
/* The netlink socket and its subscribers, shared by the netlink notifiers. */
#ifndef IRQBED_NETLINK_H
#define IRQBED_NETLINK_H

#include <linux/string.h>
#include <net/netlink.h>

#include "irqbed.h"

/* The protocol unit, and the kernel's side of it; set before any ring is armed. */
extern int irqbed_unit;
extern struct sock *irqbed_sock;

/*
 * Subscribers by unicast: port id in the upper half, wanted vectors in the
 * lower one, 0 for a free place. A place is one word without a pointer in it,
 * so the event path reads it without a lock, without RCU and without waiting,
 * and forgetting a subscriber cannot fail for want of memory. A subscriber
 * never moves to another place, or an event on its way through the table could
 * miss it.
 */
extern u64 irqbed_subscribers[IRQBED_MAX_SUBSCRIBERS];
/* No subscriber has this place or a later one. */
extern u32 irqbed_subscribers_end;

static inline u32 irqbed_subscriber_port(u64 subscriber)
{
	return subscriber >> 32;
}

static inline bool irqbed_subscriber_wants(u64 subscriber, u32 vector)
{
	return subscriber & BIT_ULL(vector);
}

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

/* Puts the message of an event into a buffer; false when it does not fit. */
static __always_inline bool irqbed_event_put(struct sk_buff *skb,
					     const struct irqbed_event *event)
{
	size_t len = sizeof(event->message) + event->message.payload_len;
	struct nlmsghdr *nlh;
	void *data;

	nlh = nlmsg_put(skb, 0, 0, IRQBED_MSG_EVENT, len, 0);
	if (unlikely(!nlh))
		return false;
	data = nlmsg_data(nlh);
	memcpy(data, &event->message, sizeof(event->message));
	memcpy(data + sizeof(event->message), event->payload,
	       event->message.payload_len);
	return true;
}

/*
 * The message of an event, payload included, for delivery from any context.
 *
 * The buffer is asked for at its exact size: the allocator rounds it up to
 * less than twice as much, and so netlink_trim() never finds one worth
 * copying. No part is cleared but the padding of the last word, which
 * nlmsg_put() does.
 */
static inline struct sk_buff *
irqbed_event_skb(const struct irqbed_event *event)
{
	size_t len = sizeof(event->message) + event->message.payload_len;
	struct sk_buff *skb = irqbed_events_skb(nlmsg_total_size(len));

	if (unlikely(!skb))
		return NULL;
	if (unlikely(!irqbed_event_put(skb, event))) {
		kfree_skb(skb);
		return NULL;
	}
	return skb;
}

int irqbed_netlink_start(int unit);
void irqbed_netlink_stop(void);

#endif /* IRQBED_NETLINK_H */
