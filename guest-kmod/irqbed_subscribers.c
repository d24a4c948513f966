// SPDX-License-Identifier: GPL-2.0
/*
 * The table of subscribers. A port id means something within a protocol only,
 * so all in it are of one: that by which the notifier sends.
 */
#include <linux/atomic.h>
#include <linux/mutex.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "irqbed_subscribers.h"

u64 irqbed_subscribers[IRQBED_MAX_SUBSCRIBERS] __read_mostly;
u32 irqbed_subscribers_end __read_mostly;
/*
 * Guards writes to the two above, their protocol, their sockets and the count of
 * subscribers. Taken in process context only: in requests and when a socket is
 * released.
 */
static DEFINE_MUTEX(irqbed_subscribers_lock);
/*
 * Whose each place is. A port that was given up may be another's before we hear
 * of it. The socket tells the two apart.
 */
static struct sock *irqbed_subscriber_socks[IRQBED_MAX_SUBSCRIBERS];
static u32 irqbed_nr_subscribers;
/* Negative where the notifier sends to no subscribers. */
static int irqbed_subscribers_protocol = -1;

static atomic64_t irqbed_listeners_forgotten;

/* The place of a subscriber; IRQBED_MAX_SUBSCRIBERS if it has none. */
static u32 irqbed_find_subscriber(u32 port)
{
	u32 i;

	lockdep_assert_held(&irqbed_subscribers_lock);
	for (i = 0; i < irqbed_subscribers_end; i++) {
		if (irqbed_subscribers[i] &&
		    irqbed_subscriber_port(irqbed_subscribers[i]) == port)
			return i;
	}
	return IRQBED_MAX_SUBSCRIBERS;
}

/* Its socket is closed, but we have not yet heard of it. */
static bool irqbed_subscriber_died(u32 i)
{
	return sock_flag(irqbed_subscriber_socks[i], SOCK_DEAD);
}

/*
 * An event on its way through the table on another processor may still be
 * sent to the one that just left; that is counted as listener_gone, or received
 * by a listener that unsubscribed and does not read any more.
 */
static void irqbed_remove_subscriber(u32 i)
{
	u32 end;

	lockdep_assert_held(&irqbed_subscribers_lock);
	if (irqbed_subscriber_died(i))
		atomic64_inc(&irqbed_listeners_forgotten);
	WRITE_ONCE(irqbed_subscribers[i], 0);
	sock_put(irqbed_subscriber_socks[i]);
	irqbed_subscriber_socks[i] = NULL;
	irqbed_nr_subscribers--;

	end = irqbed_subscribers_end;
	while (end && !irqbed_subscribers[end - 1])
		end--;
	WRITE_ONCE(irqbed_subscribers_end, end);
}

static int irqbed_add_subscriber(struct sock *sk, u32 port, u32 vectors,
				 struct netlink_ext_ack *extack)
{
	u32 i;

	lockdep_assert_held(&irqbed_subscribers_lock);
	i = irqbed_find_subscriber(port);
	/* The previous owner of the port has closed its socket. */
	if (i < IRQBED_MAX_SUBSCRIBERS && irqbed_subscriber_socks[i] != sk) {
		irqbed_remove_subscriber(i);
		i = IRQBED_MAX_SUBSCRIBERS;
	}
	if (i == IRQBED_MAX_SUBSCRIBERS) {
		for (i = 0; i < IRQBED_MAX_SUBSCRIBERS; i++) {
			if (!irqbed_subscribers[i])
				break;
		}
		if (i == IRQBED_MAX_SUBSCRIBERS) {
			NL_SET_ERR_MSG_MOD(extack, "no place for another subscriber");
			return -ENOSPC;
		}
		sock_hold(sk);
		irqbed_subscriber_socks[i] = sk;
		irqbed_nr_subscribers++;
	}
	WRITE_ONCE(irqbed_subscribers[i], (u64)port << 32 | vectors);
	if (i >= irqbed_subscribers_end)
		/* The place is filled before the event path looks at it. */
		smp_store_release(&irqbed_subscribers_end, i + 1);
	return 0;
}

/*
 * Has the events of @vectors sent to a socket, which is known by its port; a
 * second time changes the first.
 */
int irqbed_subscribe(int protocol, struct sock *sk, u32 port, u32 vectors,
		     struct netlink_ext_ack *extack)
{
	int err;

	static_assert(IRQBED_VECTORS <= 32);

	if (!vectors) {
		NL_SET_ERR_MSG_MOD(extack, "no vector asked for");
		return -EINVAL;
	}

	mutex_lock(&irqbed_subscribers_lock);
	if (protocol == irqbed_subscribers_protocol) {
		err = irqbed_add_subscriber(sk, port, vectors, extack);
	} else {
		NL_SET_ERR_MSG_MOD(extack, "this notifier takes no subscribers by this protocol");
		err = -EOPNOTSUPP;
	}
	mutex_unlock(&irqbed_subscribers_lock);
	return err;
}

int irqbed_unsubscribe(int protocol, const struct sock *sk, u32 port,
		       struct netlink_ext_ack *extack)
{
	int err = -ENOENT;
	u32 i;

	mutex_lock(&irqbed_subscribers_lock);
	i = irqbed_find_subscriber(port);
	if (protocol == irqbed_subscribers_protocol &&
	    i < IRQBED_MAX_SUBSCRIBERS && irqbed_subscriber_socks[i] == sk) {
		irqbed_remove_subscriber(i);
		err = 0;
	}
	mutex_unlock(&irqbed_subscribers_lock);
	if (err)
		NL_SET_ERR_MSG_MOD(extack, "not subscribed");
	return err;
}

/* Forgets a dead socket: called for every one that closes. */
static int irqbed_released(struct notifier_block *nb, unsigned long event,
			   void *data)
{
	const struct netlink_notify *released = data;
	u32 i;

	if (event != NETLINK_URELEASE || !net_eq(released->net, &init_net))
		return NOTIFY_DONE;

	mutex_lock(&irqbed_subscribers_lock);
	i = irqbed_find_subscriber(released->portid);
	/* The port may be another socket's by now, which lives. */
	if (released->protocol == irqbed_subscribers_protocol &&
	    i < IRQBED_MAX_SUBSCRIBERS && irqbed_subscriber_died(i))
		irqbed_remove_subscriber(i);
	mutex_unlock(&irqbed_subscribers_lock);
	return NOTIFY_DONE;
}

static struct notifier_block irqbed_release_nb = {
	.notifier_call = irqbed_released,
};

/* From now on sockets of this protocol may subscribe. */
int irqbed_subscribers_start(int protocol)
{
	int err;

	/* Before the first subscriber, or it could die unnoticed. */
	err = netlink_register_notifier(&irqbed_release_nb);
	if (err)
		return err;
	mutex_lock(&irqbed_subscribers_lock);
	irqbed_subscribers_protocol = protocol;
	mutex_unlock(&irqbed_subscribers_lock);
	return 0;
}

/*
 * After the last event and the last request. Sockets of generic netlink may be
 * open longer than the module is loaded.
 */
void irqbed_subscribers_stop(void)
{
	u32 i;

	netlink_unregister_notifier(&irqbed_release_nb);
	for (i = 0; i < IRQBED_MAX_SUBSCRIBERS; i++) {
		if (irqbed_subscriber_socks[i])
			sock_put(irqbed_subscriber_socks[i]);
	}
}

void irqbed_subscribers_read_counters(struct irqbed_counters *sum)
{
	sum->subscribers += READ_ONCE(irqbed_nr_subscribers);
	sum->listeners_forgotten +=
		atomic64_read(&irqbed_listeners_forgotten);
}
