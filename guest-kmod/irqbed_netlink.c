// SPDX-License-Identifier: GPL-2.0
/*
 * The control plane: the netlink socket and its requests.
 *
 * A request is handled in the callback, that is in the sendmsg() of the
 * process that sent it: in process context, by the sender's own credentials,
 * and for several senders at a time. What takes long goes to a worker, so that
 * sendmsg() returns at once.
 *
 * The socket exists in the initial network namespace only: the device belongs
 * to the machine, not to a network, and so do those who may listen to it. From
 * another namespace sendmsg() finds nobody (ECONNREFUSED).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include <asm/tsc.h>

#include "irqbed_netlink.h"
#include "irqbed_queue.h"
#include "irqbed_subscribers.h"

/* Most flushes that wait at a time, and how long one may take. */
#define IRQBED_FLUSHES_MAX	16
#define IRQBED_FLUSH_TIMEOUT	(2 * HZ)

struct sock *irqbed_sock __read_mostly;
int irqbed_unit __read_mostly;

static atomic64_t irqbed_bad_requests;

/* A flush that was asked for. */
struct irqbed_flush {
	struct list_head node;
	struct sock *sock;
	u32 port;
	struct nlmsghdr request;
};

/*
 * Flushes in the order they came. The lock guards list and count, and is taken
 * in process context only. The one that is being worked on is counted, but no
 * longer in the list.
 */
static DEFINE_MUTEX(irqbed_flushes_lock);
static LIST_HEAD(irqbed_flushes);
static unsigned int irqbed_nr_flushes;
static struct workqueue_struct *irqbed_wq;

/* Counts a request that was not granted for a fault of its own; returns @err. */
int irqbed_refused(int err)
{
	if (err == -EPERM || err == -EINVAL || err == -EOPNOTSUPP)
		atomic64_inc(&irqbed_bad_requests);
	return err;
}

/* All counters there are. */
void irqbed_collect_counters(struct irqbed_counters *counters)
{
	memset(counters, 0, sizeof(*counters));
	irqbed_read_counters(counters);
	counters->bad_request = atomic64_read(&irqbed_bad_requests);
	irqbed_subscribers_read_counters(counters);
	irqbed_queue_read_counters(counters);
	irqbed_reply_read_counters(counters);
}

static int irqbed_do_subscribe(u32 port, const struct nlmsghdr *nlh,
			       struct netlink_ext_ack *extack)
{
	const struct irqbed_subscribe_request *request = nlmsg_data(nlh);
	u32 vectors = U32_MAX;

	if (nlmsg_len(nlh)) {
		if (nlmsg_len(nlh) != sizeof(*request)) {
			NL_SET_ERR_MSG_MOD(extack, "payload is no subscription");
			return -EINVAL;
		}
		if (request->reserved) {
			NL_SET_ERR_MSG_MOD(extack, "reserved field is not zero");
			return -EINVAL;
		}
		vectors = request->vectors;
	}
	return irqbed_subscribe(irqbed_unit, port, vectors, extack);
}

/* Answers request @seq of @port with the counters as they are now. */
static int irqbed_send_counters(struct sock *sock, u32 port, u32 seq)
{
	const size_t len = sizeof(struct irqbed_counters);
	struct nlmsghdr *nlh;
	struct sk_buff *skb;
	int ret;

	skb = nlmsg_new(len, GFP_KERNEL);
	if (!skb)
		return -ENOMEM;
	nlh = nlmsg_put(skb, port, seq, IRQBED_MSG_COUNTERS, len, 0);
	if (WARN_ON_ONCE(!nlh)) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	irqbed_collect_counters(nlmsg_data(nlh));

	ret = netlink_unicast(sock, skb, port, MSG_DONTWAIT);
	return ret < 0 ? ret : 0;
}

/*
 * What netlink_ack() does, for a request whose buffer and whose sender may be
 * gone by now.
 */
static void irqbed_send_ack(const struct irqbed_flush *flush, int err)
{
	struct nlmsgerr *answer;
	struct nlmsghdr *nlh;
	struct sk_buff *skb;

	skb = nlmsg_new(sizeof(*answer), GFP_KERNEL);
	if (!skb)
		return;
	nlh = nlmsg_put(skb, flush->port, flush->request.nlmsg_seq, NLMSG_ERROR,
			sizeof(*answer), NLM_F_CAPPED);
	if (WARN_ON_ONCE(!nlh)) {
		nlmsg_free(skb);
		return;
	}
	answer = nlmsg_data(nlh);
	answer->error = err;
	answer->msg = flush->request;
	netlink_unicast(flush->sock, skb, flush->port, MSG_DONTWAIT);
}

static void irqbed_flush_one(const struct irqbed_flush *flush)
{
	unsigned long deadline = jiffies + IRQBED_FLUSH_TIMEOUT;
	int err = 0;

	/*
	 * Records are handed on by the interrupts that announce them, here as
	 * anywhere: the worker watches, it does not take part. Those whose
	 * interrupt is lost are seen to before.
	 */
	irqbed_flush_begin();
	while (!irqbed_flush_done()) {
		if (time_after(jiffies, deadline)) {
			err = -ETIMEDOUT;
			break;
		}
		usleep_range(500, 1000);
	}
	if (!err)
		err = irqbed_send_counters(flush->sock, flush->port,
					   flush->request.nlmsg_seq);
	if (err || flush->request.nlmsg_flags & NLM_F_ACK)
		irqbed_send_ack(flush, err);
}

static struct irqbed_flush *irqbed_next_flush(void)
{
	struct irqbed_flush *flush;

	mutex_lock(&irqbed_flushes_lock);
	flush = list_first_entry_or_null(&irqbed_flushes, struct irqbed_flush,
					 node);
	if (flush)
		list_del(&flush->node);
	mutex_unlock(&irqbed_flushes_lock);
	return flush;
}

/* Frees a flush that is no longer in the list. */
static void irqbed_free_flush(struct irqbed_flush *flush)
{
	kfree(flush);
	mutex_lock(&irqbed_flushes_lock);
	irqbed_nr_flushes--;
	mutex_unlock(&irqbed_flushes_lock);
}

static void irqbed_flush_worker(struct work_struct *work)
{
	struct irqbed_flush *flush;

	while ((flush = irqbed_next_flush())) {
		irqbed_flush_one(flush);
		irqbed_free_flush(flush);
	}
}

static DECLARE_WORK(irqbed_flush_work, irqbed_flush_worker);

/* Returns -EINTR where the worker will answer: then netlink_rcv_skb() does not. */
static int irqbed_do_flush(struct sk_buff *skb, const struct nlmsghdr *nlh,
			   struct netlink_ext_ack *extack)
{
	struct irqbed_flush *flush;

	flush = kmalloc(sizeof(*flush), GFP_KERNEL);
	if (!flush)
		return -ENOMEM;
	flush->sock = skb->sk;
	flush->port = NETLINK_CB(skb).portid;
	flush->request = *nlh;

	mutex_lock(&irqbed_flushes_lock);
	if (irqbed_nr_flushes == IRQBED_FLUSHES_MAX) {
		mutex_unlock(&irqbed_flushes_lock);
		kfree(flush);
		NL_SET_ERR_MSG_MOD(extack, "too many flushes outstanding");
		return -EBUSY;
	}
	irqbed_nr_flushes++;
	list_add_tail(&flush->node, &irqbed_flushes);
	mutex_unlock(&irqbed_flushes_lock);

	queue_work(irqbed_wq, &irqbed_flush_work);
	return -EINTR;
}

static int irqbed_do_reply(const struct nlmsghdr *nlh, u64 entry,
			   struct netlink_ext_ack *extack)
{
	struct irqbed_reply_request request;

	if (nlmsg_len(nlh) != sizeof(request)) {
		NL_SET_ERR_MSG_MOD(extack, "payload is no reply");
		return -EINVAL;
	}
	memcpy(&request, nlmsg_data(nlh), sizeof(request));
	return irqbed_reply_any(&request, entry, extack);
}

static int irqbed_do_request(struct sk_buff *skb, struct nlmsghdr *nlh,
			     u64 entry, struct netlink_ext_ack *extack)
{
	/*
	 * The port the kernel knows the sender by. What the sender wrote in
	 * nlmsg_pid is its own business, and would let it speak for others.
	 */
	u32 port = NETLINK_CB(skb).portid;

	/*
	 * In the initial user namespace, because the device is the machine's.
	 * netlink_net_capable() would come to the same while the socket lives
	 * in the initial network namespace only.
	 */
	if (!netlink_capable(skb, CAP_NET_ADMIN)) {
		NL_SET_ERR_MSG_MOD(extack, "needs CAP_NET_ADMIN");
		return -EPERM;
	}

	if (nlh->nlmsg_type == IRQBED_MSG_REPLY)
		return irqbed_do_reply(nlh, entry, extack);

	if (nlh->nlmsg_type == IRQBED_MSG_SUBSCRIBE)
		return irqbed_do_subscribe(port, nlh, extack);

	if (nlh->nlmsg_type < IRQBED_MSG_SUBSCRIBE ||
	    nlh->nlmsg_type > IRQBED_MSG_FLUSH) {
		NL_SET_ERR_MSG_MOD(extack, "unknown request");
		return -EOPNOTSUPP;
	}
	if (nlmsg_len(nlh)) {
		NL_SET_ERR_MSG_MOD(extack, "this request has no payload");
		return -EINVAL;
	}

	switch (nlh->nlmsg_type) {
	case IRQBED_MSG_UNSUBSCRIBE:
		return irqbed_unsubscribe(irqbed_unit, port, extack);
	case IRQBED_MSG_GET_COUNTERS:
		return irqbed_send_counters(skb->sk, port, nlh->nlmsg_seq);
	case IRQBED_MSG_FLUSH:
		return irqbed_do_flush(skb, nlh, extack);
	}
	return -EOPNOTSUPP;
}

static int irqbed_request(struct sk_buff *skb, struct nlmsghdr *nlh,
			  struct netlink_ext_ack *extack)
{
	/*
	 * For a reply: the stamp comes first. What took the datagram apart
	 * before was the kernel's own code.
	 */
	u64 entry = rdtsc_ordered();
	int err = irqbed_do_request(skb, nlh, entry, extack);

	if (nlh->nlmsg_type == IRQBED_MSG_REPLY)
		return irqbed_reply_done(err);
	return irqbed_refused(err);
}

/*
 * Answers what netlink_rcv_skb() left of a datagram: a header cut short, or a
 * length that is shorter than a header or longer than the datagram.
 */
static void irqbed_reject(struct sk_buff *skb)
{
	struct netlink_ext_ack extack = {};
	struct nlmsghdr request = {};

	atomic64_inc(&irqbed_bad_requests);
	memcpy(&request, skb->data, min_t(size_t, skb->len, sizeof(request)));
	/* netlink_ack() would believe the length and copy as much. */
	request.nlmsg_len = sizeof(request);
	NL_SET_ERR_MSG_MOD(&extack, "malformed message");
	netlink_ack(skb, &request, -EINVAL, &extack);
}

static void irqbed_input(struct sk_buff *skb)
{
	/*
	 * Calls us for each request and acknowledges it. It takes off what it
	 * has dealt with and stops, without a word, at what is no message.
	 * What lacks NLM_F_REQUEST is no request and ignored, like everywhere
	 * in the kernel.
	 */
	netlink_rcv_skb(skb, irqbed_request);
	if (skb->len)
		irqbed_reject(skb);
}

/* Drops what a dead socket asked for: called for every socket that closes. */
static int irqbed_flushes_released(struct notifier_block *nb,
				   unsigned long event, void *data)
{
	const struct netlink_notify *released = data;
	struct irqbed_flush *flush, *next;
	LIST_HEAD(dropped);

	if (event != NETLINK_URELEASE || released->protocol != irqbed_unit ||
	    !net_eq(released->net, &init_net))
		return NOTIFY_DONE;

	/* The next owner of the port must not get the answer. */
	mutex_lock(&irqbed_flushes_lock);
	list_for_each_entry_safe(flush, next, &irqbed_flushes, node) {
		if (flush->port == released->portid)
			list_move(&flush->node, &dropped);
	}
	mutex_unlock(&irqbed_flushes_lock);
	list_for_each_entry_safe(flush, next, &dropped, node)
		irqbed_free_flush(flush);
	return NOTIFY_DONE;
}

static struct notifier_block irqbed_flushes_nb = {
	.notifier_call = irqbed_flushes_released,
};

/*
 * The units that linux/netlink.h gives to the kernel's own protocols. Most are
 * taken; the kernel would give us the others, and that would be wrong:
 * NETLINK_USERSOCK is for processes among themselves and does not hold our
 * module, those whose module is not loaded yet could not be had by it any more,
 * and some are tapped (irqbed_taps.c).
 */
static const char *const irqbed_kernel_units[] = {
	[NETLINK_ROUTE] = "NETLINK_ROUTE",
	[NETLINK_USERSOCK] = "NETLINK_USERSOCK",
	[NETLINK_SOCK_DIAG] = "NETLINK_SOCK_DIAG",
	[NETLINK_NFLOG] = "NETLINK_NFLOG",
	[NETLINK_XFRM] = "NETLINK_XFRM",
	[NETLINK_SELINUX] = "NETLINK_SELINUX",
	[NETLINK_ISCSI] = "NETLINK_ISCSI",
	[NETLINK_AUDIT] = "NETLINK_AUDIT",
	[NETLINK_FIB_LOOKUP] = "NETLINK_FIB_LOOKUP",
	[NETLINK_CONNECTOR] = "NETLINK_CONNECTOR",
	[NETLINK_NETFILTER] = "NETLINK_NETFILTER",
	[NETLINK_KOBJECT_UEVENT] = "NETLINK_KOBJECT_UEVENT",
	[NETLINK_GENERIC] = "NETLINK_GENERIC",
	[NETLINK_SCSITRANSPORT] = "NETLINK_SCSITRANSPORT",
	[NETLINK_ECRYPTFS] = "NETLINK_ECRYPTFS",
	[NETLINK_RDMA] = "NETLINK_RDMA",
	[NETLINK_CRYPTO] = "NETLINK_CRYPTO",
	[NETLINK_SMC] = "NETLINK_SMC",
};

static int irqbed_check_unit(int unit)
{
	if (unit < 0 || unit >= MAX_LINKS) {
		pr_err("netlink unit %d is out of range 0 to %d; load with unit=M\n",
		       unit, MAX_LINKS - 1);
		return -EINVAL;
	}
	if (unit < ARRAY_SIZE(irqbed_kernel_units) && irqbed_kernel_units[unit]) {
		pr_err("netlink unit %d is taken: it is the kernel's %s; load with unit=M, of %zu to %d\n",
		       unit, irqbed_kernel_units[unit],
		       ARRAY_SIZE(irqbed_kernel_units), MAX_LINKS - 1);
		return -EBUSY;
	}
	return 0;
}

int irqbed_netlink_start(int unit)
{
	struct netlink_kernel_cfg cfg = {
		.groups = IRQBED_GROUP_EVENTS,
		.input = irqbed_input,
	};
	int err;

	err = irqbed_check_unit(unit);
	if (err)
		return err;
	irqbed_unit = unit;
	/* Before the socket: a request may come as soon as that exists. */
	irqbed_wq = alloc_ordered_workqueue("irqbed", 0);
	if (!irqbed_wq)
		return -ENOMEM;
	err = netlink_register_notifier(&irqbed_flushes_nb);
	if (err)
		goto destroy_wq;

	/* NULL whatever is wrong; with a unit in range it is mostly this. */
	irqbed_sock = netlink_kernel_create(&init_net, unit, &cfg);
	if (!irqbed_sock) {
		err = -EBUSY;
		pr_err("netlink unit %d is taken by another module; load with unit=M\n",
		       unit);
		goto unregister;
	}
	return 0;

unregister:
	netlink_unregister_notifier(&irqbed_flushes_nb);
destroy_wq:
	destroy_workqueue(irqbed_wq);
	return err;
}

/*
 * No socket of userspace is open any more: each holds the module. So there is
 * no request and no queued flush left, at most one in progress.
 */
void irqbed_netlink_stop(void)
{
	destroy_workqueue(irqbed_wq);
	netlink_unregister_notifier(&irqbed_flushes_nb);
	netlink_kernel_release(irqbed_sock);
}
