/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who is sent each event by unicast: the sockets, of the driver's own netlink
 * protocol or of generic netlink, that asked for it.
 */
#ifndef IRQBED_SUBSCRIBERS_H
#define IRQBED_SUBSCRIBERS_H

#include <linux/bits.h>
#include <linux/types.h>

#include "irqbed_abi.h"

struct irqbed_counters;
struct netlink_ext_ack;
struct sock;

/*
 * Port id in the upper half, wanted vectors in the lower one, 0 for a free
 * place. A place is one word without a pointer in it, so the event path reads
 * it without a lock, without RCU and without waiting, and forgetting a
 * subscriber cannot fail for want of memory. A subscriber never moves to
 * another place, or an event on its way through the table could miss it.
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

int irqbed_subscribers_start(int protocol);
void irqbed_subscribers_stop(void);
int irqbed_subscribe(int protocol, struct sock *sk, u32 port, u32 vectors,
		     struct netlink_ext_ack *extack);
int irqbed_unsubscribe(int protocol, const struct sock *sk, u32 port,
		       struct netlink_ext_ack *extack);
void irqbed_subscribers_read_counters(struct irqbed_counters *sum);

#endif /* IRQBED_SUBSCRIBERS_H */
