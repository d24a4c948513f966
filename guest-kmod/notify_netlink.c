// SPDX-License-Identifier: GPL-2.0
/*
 * Notifier 'netlink': netlink_unicast() to each subscriber, a message for each
 * event, or for as many as a drain finds and 'batch' allows.
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
 * does it. On PREEMPT_RT these locks sleep, and irqbed_irq.c leaves the
 * handler to a thread.
 */
#include "irqbed_netlink.h"
#include "irqbed_notifier.h"
#include "irqbed_send.h"
#include "irqbed_subscribers.h"

/* Most memory for one message of several events. */
#define IRQBED_BATCH_BYTES	16384

static size_t irqbed_netlink_size(u32 payload_len)
{
	return nlmsg_total_size(sizeof(struct irqbed_event_message) +
				payload_len);
}

static void irqbed_netlink_flush(struct irqbed_ring *ring)
{
	if (!ring->batched)
		return;
	irqbed_send(ring, &irqbed_sock, ring->batch, NULL, NULL, ring->batched);
	ring->batch = NULL;
	/* A flush that sees it sees what was counted. */
	smp_store_release(&ring->batched, 0);
}

/*
 * A message with @event in it, and room for those behind it that are there, as
 * far as that is easy to allocate.
 */
static struct sk_buff *irqbed_netlink_batch(const struct irqbed_ring *ring,
					    const struct irqbed_event *event)
{
	size_t room = irqbed_ring_batch_size(ring, irqbed_batch,
					     irqbed_netlink_size);
	struct sk_buff *skb;

	room = min_t(size_t, room, SKB_WITH_OVERHEAD(IRQBED_BATCH_BYTES));
	skb = irqbed_events_skb(max(room, irqbed_netlink_size(event->message.payload_len)));
	if (unlikely(skb && !irqbed_event_put(skb, event))) {
		kfree_skb(skb);
		return NULL;
	}
	return skb;
}

static void irqbed_netlink_gather(struct irqbed_ring *ring,
				  const struct irqbed_event *event)
{
	if (!ring->batched || !irqbed_event_put(ring->batch, event)) {
		irqbed_netlink_flush(ring);
		ring->batch = irqbed_netlink_batch(ring, event);
		if (unlikely(!ring->batch)) {
			irqbed_send(ring, &irqbed_sock, NULL, NULL, NULL, 1);
			return;
		}
	}
	WRITE_ONCE(ring->batched, ring->batched + 1);
	if (ring->batched == irqbed_batch)
		irqbed_netlink_flush(ring);
}

static void irqbed_netlink_notify(struct irqbed_ring *ring,
				  const struct irqbed_event *event)
{
	if (static_branch_unlikely(&irqbed_batching))
		irqbed_netlink_gather(ring, event);
	else
		irqbed_send(ring, &irqbed_sock, NULL, event, irqbed_event_skb, 1);
}

static int irqbed_netlink_notify_start(void)
{
	return irqbed_subscribers_start(irqbed_unit);
}

const struct irqbed_notifier irqbed_notify_netlink = {
	.name = "netlink",
	.start = irqbed_netlink_notify_start,
	.stop = irqbed_subscribers_stop,
	.notify = irqbed_netlink_notify,
	.flush = irqbed_netlink_flush,
};
