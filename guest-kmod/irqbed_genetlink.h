/* SPDX-License-Identifier: GPL-2.0 */
/* The generic netlink family, and its event for the genetlink notifiers. */
#ifndef IRQBED_GENETLINK_H
#define IRQBED_GENETLINK_H

#include <net/genetlink.h>
#include <net/net_namespace.h>

struct irqbed_event;

/*
 * In the initial network namespace only: the kernel's side of its socket is
 * init_net.genl_sock.
 */
extern struct genl_family irqbed_genl_family;

struct sk_buff *irqbed_genl_event(const struct irqbed_event *event);

int irqbed_genetlink_start(void);
void irqbed_genetlink_stop(void);

#endif /* IRQBED_GENETLINK_H */
