// SPDX-License-Identifier: GPL-2.0
/*
 * Generic netlink from a hard interrupt, and taps.
 *
 * A tap is a network device (nlmon) that gets a copy of each netlink message.
 * The copy goes out by dev_queue_xmit(), which disables bottom halves: in a
 * hard interrupt that is an error ('WARNING: ... at kernel/softirq.c ...
 * __local_bh_enable_ip'). The kernel taps its own protocols, NETLINK_GENERIC
 * among them, and no unit that a driver may take.
 *
 * So while generic netlink is sent from a hard interrupt there is no tap: the
 * driver does not load where there is one, and none comes up while it is
 * loaded. An event pays nothing for it.
 *
 * In any network namespace: a message is tapped where its receiver is, and a
 * listener of all namespaces (NETLINK_LISTEN_ALL_NSID) may be anywhere.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/netdevice.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/printk.h>

#include "irqbed.h"
#include "irqbed_taps.h"

static bool irqbed_taps_excluded;

static int irqbed_taps_event(struct notifier_block *nb, unsigned long event,
			     void *info)
{
	const struct net_device *dev = netdev_notifier_info_to_dev(info);

	/* netlink_add_tap() takes no other, and nlmon adds it when it comes up. */
	if (dev->type != ARPHRD_NETLINK)
		return NOTIFY_DONE;
	/* Those that are there already are registered anew for us. */
	if (event != NETDEV_PRE_UP &&
	    !(event == NETDEV_REGISTER && dev->flags & IFF_UP))
		return NOTIFY_DONE;
	NL_SET_ERR_MSG_MOD(netdev_notifier_info_to_extack(info),
			   "generic netlink is sent from a hard interrupt and cannot be tapped");
	pr_notice("no tap by %s: generic netlink is sent from a hard interrupt and cannot be tapped; load with another context=, or remove the tap\n",
		  dev->name);
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block irqbed_taps_nb = {
	.notifier_call = irqbed_taps_event,
};

/* For a notifier that sends generic netlink, from whatever context. */
int irqbed_taps_exclude(void)
{
	int err;

	/* With PREEMPT_RT the handler is a thread. */
	if (irqbed_context->deferred || IS_ENABLED(CONFIG_PREEMPT_RT))
		return 0;
	err = register_netdevice_notifier(&irqbed_taps_nb);
	irqbed_taps_excluded = !err;
	return err;
}

void irqbed_taps_allow(void)
{
	if (irqbed_taps_excluded)
		unregister_netdevice_notifier(&irqbed_taps_nb);
	irqbed_taps_excluded = false;
}
