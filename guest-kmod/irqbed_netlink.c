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
 * to the machine, not to a network, and so do its listeners. From another
 * namespace sendmsg() fails (ECONNREFUSED).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/jiffies.h>
#include <linux/netlink.h>
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
	struct work_struct work;
	/*
	 * The socket that asked, which may be closed by now, and its port
	 * another's: the answer goes to the socket.
	 */
	struct sock *sock;
	u32 port;
	struct nlmsghdr request;
};

/* One flush at a time, in the order they came; how many there are. */
static struct workqueue_struct *irqbed_wq;
static atomic_t irqbed_nr_flushes;

/* Counts a request that was not granted for a fault of its own; returns @err. */
int irqbed_count_refusal(int err)
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

static int irqbed_do_subscribe(const struct sk_buff *skb, u32 port,
			       const struct nlmsghdr *nlh,
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
	return irqbed_subscribe(irqbed_unit, NETLINK_CB(skb).sk, port, vectors,
				extack);
}

/* The answer to request @seq of @port: the counters as they are now. */
static struct sk_buff *irqbed_counters_skb(u32 port, u32 seq)
{
	const size_t len = sizeof(struct irqbed_counters);
	struct sk_buff *skb = nlmsg_new(len, GFP_KERNEL);

	if (skb)
		irqbed_collect_counters(nlmsg_data(nlmsg_put(skb, port, seq,
							     IRQBED_MSG_COUNTERS,
							     len, 0)));
	return skb;
}

static int irqbed_do_get_counters(const struct sk_buff *request, u32 port,
				  u32 seq)
{
	struct sk_buff *skb = irqbed_counters_skb(port, seq);
	int ret;

	if (!skb)
		return -ENOMEM;
	ret = netlink_unicast(request->sk, skb, port, MSG_DONTWAIT);
	return ret < 0 ? ret : 0;
}

/* What netlink_ack() does, for a request whose buffer is gone by now. */
static struct sk_buff *irqbed_ack_skb(const struct irqbed_flush *flush, int err)
{
	struct sk_buff *skb = nlmsg_new(sizeof(struct nlmsgerr), GFP_KERNEL);
	struct nlmsgerr *answer;

	if (!skb)
		return NULL;
	answer = nlmsg_data(nlmsg_put(skb, flush->port,
				      flush->request.nlmsg_seq, NLMSG_ERROR,
				      sizeof(*answer), NLM_F_CAPPED));
	answer->error = err;
	answer->msg = flush->request;
	return skb;
}

static bool irqbed_flush_abandoned(const struct irqbed_flush *flush)
{
	return sock_flag(flush->sock, SOCK_DEAD);
}

static int irqbed_answer(const struct irqbed_flush *flush, struct sk_buff *skb)
{
	int err;

	if (!skb)
		return -ENOMEM;
	err = irqbed_flush_abandoned(flush) ? -ECANCELED :
					   sock_queue_rcv_skb(flush->sock, skb);
	if (!err)
		return 0;
	kfree_skb(skb);
	if (err == -ENOMEM) {
		/* As for any message that a netlink socket has no room for. */
		WRITE_ONCE(flush->sock->sk_err, ENOBUFS);
		sk_error_report(flush->sock);
	}
	return err;
}

static int irqbed_flush_wait(const struct irqbed_flush *flush)
{
	unsigned long deadline = jiffies + IRQBED_FLUSH_TIMEOUT;

	/*
	 * Records are delivered by the interrupts that announce them, here as
	 * anywhere: the worker watches, it does not take part. Those whose
	 * interrupt is lost are seen to before.
	 */
	irqbed_flush_begin();
	while (!irqbed_flush_done()) {
		if (irqbed_flush_abandoned(flush))
			return -ECANCELED;
		if (time_after(jiffies, deadline))
			return -ETIMEDOUT;
		usleep_range(500, 1000);
	}
	return 0;
}

static void irqbed_flush_work(struct work_struct *work)
{
	struct irqbed_flush *flush =
		container_of(work, struct irqbed_flush, work);
	int err = irqbed_flush_abandoned(flush) ? -ECANCELED :
					       irqbed_flush_wait(flush);

	if (!err)
		err = irqbed_answer(flush, irqbed_counters_skb(flush->port,
							       flush->request.nlmsg_seq));
	if (err || flush->request.nlmsg_flags & NLM_F_ACK)
		irqbed_answer(flush, irqbed_ack_skb(flush, err));
	sock_put(flush->sock);
	kfree(flush);
	atomic_dec(&irqbed_nr_flushes);
}

/* Returns -EINTR where the worker will answer: then netlink_rcv_skb() does not. */
static int irqbed_do_flush(const struct sk_buff *skb,
			   const struct nlmsghdr *nlh,
			   struct netlink_ext_ack *extack)
{
	struct irqbed_flush *flush;

	if (!atomic_add_unless(&irqbed_nr_flushes, 1, IRQBED_FLUSHES_MAX)) {
		NL_SET_ERR_MSG_MOD(extack, "too many flushes outstanding");
		return -EBUSY;
	}
	flush = kmalloc(sizeof(*flush), GFP_KERNEL_ACCOUNT);
	if (!flush) {
		atomic_dec(&irqbed_nr_flushes);
		return -ENOMEM;
	}
	INIT_WORK(&flush->work, irqbed_flush_work);
	flush->sock = NETLINK_CB(skb).sk;
	sock_hold(flush->sock);
	flush->port = NETLINK_CB(skb).portid;
	flush->request = *nlh;
	queue_work(irqbed_wq, &flush->work);
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
		return irqbed_do_subscribe(skb, port, nlh, extack);

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
		return irqbed_unsubscribe(irqbed_unit, NETLINK_CB(skb).sk, port,
					  extack);
	case IRQBED_MSG_GET_COUNTERS:
		return irqbed_do_get_counters(skb, port, nlh->nlmsg_seq);
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
	return irqbed_count_refusal(err);
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

	/* NULL whatever is wrong; with a unit in range it is mostly this. */
	irqbed_sock = netlink_kernel_create(&init_net, unit, &cfg);
	if (!irqbed_sock) {
		pr_err("netlink unit %d is taken by another module; load with unit=M\n",
		       unit);
		destroy_workqueue(irqbed_wq);
		return -EBUSY;
	}
	return 0;
}

/*
 * No socket of userspace is open any more: each holds the module. So there is no
 * request, and no flush that anybody waits for.
 */
void irqbed_netlink_stop(void)
{
	destroy_workqueue(irqbed_wq);
	netlink_kernel_release(irqbed_sock);
}
