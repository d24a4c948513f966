/* SPDX-License-Identifier: GPL-2.0 */
/* The driver's own netlink protocol, and what goes over it. */
#ifndef IRQBED_NETLINK_H
#define IRQBED_NETLINK_H

#include <linux/string.h>
#include <net/netlink.h>

#include "irqbed.h"
#include "irqbed_send.h"

/* The protocol unit, and the kernel's side of it; set before any ring is armed. */
extern int irqbed_unit;
extern struct sock *irqbed_sock;

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

int irqbed_count_refusal(int err);
void irqbed_collect_counters(struct irqbed_counters *counters);

int irqbed_netlink_start(int unit);
void irqbed_netlink_stop(void);

#endif /* IRQBED_NETLINK_H */
