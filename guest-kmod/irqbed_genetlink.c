// SPDX-License-Identifier: GPL-2.0
/*
 * The generic netlink family, as abi/netlink/irqbed.yaml specifies it. It is
 * registered whatever the notifier is, because replies may come by it.
 *
 * Most of what irqbed_netlink.c does by itself generic netlink does before an
 * operation is called: it finds it (EOPNOTSUPP), asks for CAP_NET_ADMIN (EPERM)
 * and holds the attributes against the policy. What it refuses it answers
 * itself, and no counter of the driver knows of it. It also calls one operation
 * at a time.
 *
 * Like the driver's own protocol the family exists in the initial network
 * namespace only (netnsok is not set): the device belongs to the machine.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/netlink.h>

#include <asm/tsc.h>

#include "irqbed_genetlink.h"
#include "irqbed_netlink.h"
#include "irqbed_send.h"
#include "irqbed_subscribers.h"

/* Attribute lengths have 16 bits. */
static_assert(NLA_HDRLEN + IRQBED_MAX_PAYLOAD <= U16_MAX);

static const struct nla_policy irqbed_subscription_policy[] = {
	[IRQBED_A_SUBSCRIPTION_VECTORS] = NLA_POLICY_MIN(NLA_U32, 1),
};

static const struct nla_policy irqbed_reply_policy[] = {
	[IRQBED_A_EVENT_SEQ] = { .type = NLA_U64 },
	[IRQBED_A_EVENT_SLOT] = { .type = NLA_U32 },
};

static int irqbed_genl_subscribe(struct sk_buff *skb, struct genl_info *info)
{
	const struct nlattr *vectors =
		info->attrs[IRQBED_A_SUBSCRIPTION_VECTORS];

	if (!vectors) {
		NL_SET_ERR_MSG_MOD(info->extack, "no vectors given");
		return irqbed_count_refusal(-EINVAL);
	}
	return irqbed_count_refusal(irqbed_subscribe(NETLINK_GENERIC,
						     NETLINK_CB(skb).sk,
						     info->snd_portid,
						     nla_get_u32(vectors),
						     info->extack));
}

static int irqbed_genl_unsubscribe(struct sk_buff *skb, struct genl_info *info)
{
	return irqbed_count_refusal(irqbed_unsubscribe(NETLINK_GENERIC,
						       NETLINK_CB(skb).sk,
						       info->snd_portid,
						       info->extack));
}

/* Attribute n + 2 is counter n: 1 is the padding. */
static int irqbed_genl_put_counters(struct sk_buff *skb)
{
	union {
		struct irqbed_counters counters;
		u64 values[sizeof(struct irqbed_counters) / sizeof(u64)];
	} sum;
	size_t i;

	irqbed_collect_counters(&sum.counters);
	for (i = 0; i < ARRAY_SIZE(sum.values); i++) {
		if (nla_put_u64_64bit(skb, IRQBED_A_COUNTERS_INTERRUPTS + i,
				      sum.values[i], IRQBED_A_COUNTERS_PAD))
			return -EMSGSIZE;
	}
	return 0;
}

static int irqbed_genl_get_counters(struct sk_buff *skb,
				    struct genl_info *info)
{
	struct sk_buff *reply = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	void *header;

	if (!reply)
		return -ENOMEM;
	header = genlmsg_put_reply(reply, info, &irqbed_genl_family, 0,
				   IRQBED_CMD_GET_COUNTERS);
	if (!header || irqbed_genl_put_counters(reply)) {
		nlmsg_free(reply);
		return -EMSGSIZE;
	}
	genlmsg_end(reply, header);
	return genlmsg_reply(reply, info);
}

static int irqbed_genl_do_reply(const struct genl_info *info, u64 entry)
{
	const struct nlattr *seq = info->attrs[IRQBED_A_EVENT_SEQ];
	const struct nlattr *slot = info->attrs[IRQBED_A_EVENT_SLOT];
	struct irqbed_reply_request request = {};

	if (!seq || !slot) {
		NL_SET_ERR_MSG_MOD(info->extack, "no event or no trace slot given");
		return -EINVAL;
	}
	request.seq = nla_get_u64(seq);
	request.slot = nla_get_u32(slot);
	return irqbed_reply_any(&request, entry, info->extack);
}

static int irqbed_genl_reply(struct sk_buff *skb, struct genl_info *info)
{
	/* First. What took the message apart before was the kernel's own code. */
	u64 entry = rdtsc_ordered();

	return irqbed_reply_done(irqbed_genl_do_reply(info, entry));
}

/*
 * GENL_ADMIN_PERM is CAP_NET_ADMIN in the initial user namespace. An operation
 * without a policy takes no attributes.
 */
static const struct genl_ops irqbed_genl_ops[] = {
	{
		.cmd = IRQBED_CMD_SUBSCRIBE,
		.flags = GENL_ADMIN_PERM,
		.policy = irqbed_subscription_policy,
		.maxattr = ARRAY_SIZE(irqbed_subscription_policy) - 1,
		.doit = irqbed_genl_subscribe,
	},
	{
		.cmd = IRQBED_CMD_UNSUBSCRIBE,
		.flags = GENL_ADMIN_PERM,
		.doit = irqbed_genl_unsubscribe,
	},
	{
		.cmd = IRQBED_CMD_GET_COUNTERS,
		.flags = GENL_ADMIN_PERM,
		.doit = irqbed_genl_get_counters,
	},
	{
		.cmd = IRQBED_CMD_REPLY,
		.flags = GENL_ADMIN_PERM,
		.policy = irqbed_reply_policy,
		.maxattr = ARRAY_SIZE(irqbed_reply_policy) - 1,
		.doit = irqbed_genl_reply,
	},
};

static const struct genl_multicast_group irqbed_genl_groups[] = {
	irqbed_genl_group(IRQBED_MCGRP_EVENTS),
};

struct genl_family irqbed_genl_family __ro_after_init = {
	.name = IRQBED_FAMILY_NAME,
	.version = IRQBED_FAMILY_VERSION,
	.module = THIS_MODULE,
	.ops = irqbed_genl_ops,
	.n_ops = ARRAY_SIZE(irqbed_genl_ops),
	.mcgrps = irqbed_genl_groups,
	.n_mcgrps = ARRAY_SIZE(irqbed_genl_groups),
};

int irqbed_genetlink_start(void)
{
	int err = genl_register_family(&irqbed_genl_family);

	if (err)
		pr_err("cannot register the generic netlink family '%s': %d\n",
		       IRQBED_FAMILY_NAME, err);
	return err;
}

/* No lasting reference to the module: the family may go while sockets listen. */
void irqbed_genetlink_stop(void)
{
	genl_unregister_family(&irqbed_genl_family);
}

/*
 * The message of an event, for delivery from any context, in a buffer of its
 * exact size, as irqbed_event_skb() makes it for the driver's own protocol.
 */
struct sk_buff *irqbed_genl_event(const struct irqbed_event *event)
{
	const struct irqbed_event_message *message = &event->message;
	size_t len = nla_total_size_64bit(sizeof(message->seq)) +
		     nla_total_size(sizeof(message->slot)) +
		     nla_total_size(sizeof(message->vector)) +
		     nla_total_size(sizeof(message->flags)) +
		     nla_total_size(message->payload_len);
	struct sk_buff *skb = irqbed_events_skb(genlmsg_total_size(len));
	void *header;

	if (unlikely(!skb))
		return NULL;
	header = genlmsg_put(skb, 0, 0, &irqbed_genl_family, 0,
			     IRQBED_CMD_EVENT);
	if (unlikely(!header ||
		     nla_put_u64_64bit(skb, IRQBED_A_EVENT_SEQ, message->seq,
				       IRQBED_A_EVENT_PAD) ||
		     nla_put_u32(skb, IRQBED_A_EVENT_SLOT, message->slot) ||
		     nla_put_u32(skb, IRQBED_A_EVENT_VECTOR, message->vector) ||
		     nla_put_u32(skb, IRQBED_A_EVENT_FLAGS, message->flags) ||
		     nla_put(skb, IRQBED_A_EVENT_PAYLOAD, message->payload_len,
			     event->payload))) {
		kfree_skb(skb);
		return NULL;
	}
	genlmsg_end(skb, header);
	return skb;
}
