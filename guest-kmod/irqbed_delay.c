// SPDX-License-Identifier: GPL-2.0
/* The parameters of the known delay, checked when they are set. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/moduleparam.h>
#include <linux/string.h>
#include <linux/time64.h>

#include "irqbed_delay.h"

/*
 * The delay is spent with interrupts off: 100 ms, and about as many
 * instructions as an emulated processor executes in that time, are more than
 * any test needs and less than what the kernel's watchdogs complain about.
 */
#define IRQBED_DELAY_NS_MAX	(100 * NSEC_PER_MSEC)
#define IRQBED_DELAY_INSNS_MAX	100000000

u32 irqbed_delay_loops;
u64 irqbed_delay_cycles;

static unsigned int delay_ns;
static unsigned int delay_insns;

/* In messages a value ends before the line end that the shell adds. */
static int delay_ns_set(const char *val, const struct kernel_param *kp)
{
	unsigned int ns;
	int err;

	err = kstrtouint(val, 0, &ns);
	if (err || ns > IRQBED_DELAY_NS_MAX) {
		pr_err("delay_ns=%.*s is not a number from 0 to %ld\n",
		       (int)strcspn(val, "\n"), val, IRQBED_DELAY_NS_MAX);
		return -EINVAL;
	}
	if (ns && !tsc_khz) {
		pr_err("delay_ns needs a TSC of known frequency\n");
		return -ENODEV;
	}
	/* Any wish for a delay must be one: round up, so never to 'off'. */
	WRITE_ONCE(irqbed_delay_cycles,
		   DIV_ROUND_UP_ULL((u64)ns * tsc_khz, USEC_PER_SEC));
	return param_set_uint(val, kp);
}

static int delay_insns_set(const char *val, const struct kernel_param *kp)
{
	unsigned int insns;
	int err;

	err = kstrtouint(val, 0, &insns);
	if (err || insns > IRQBED_DELAY_INSNS_MAX || insns % 2) {
		pr_err("delay_insns=%.*s is not an even number from 0 to %d\n",
		       (int)strcspn(val, "\n"), val, IRQBED_DELAY_INSNS_MAX);
		return -EINVAL;
	}
	WRITE_ONCE(irqbed_delay_loops, insns / 2);
	return param_set_uint(val, kp);
}

static const struct kernel_param_ops delay_ns_ops = {
	.set = delay_ns_set,
	.get = param_get_uint,
};

static const struct kernel_param_ops delay_insns_ops = {
	.set = delay_insns_set,
	.get = param_get_uint,
};

module_param_cb(delay_ns, &delay_ns_ops, &delay_ns, 0644);
MODULE_PARM_DESC(delay_ns,
		 "Delay before the notifier is called, ns; for tests of the measurement (default 0)");
module_param_cb(delay_insns, &delay_insns_ops, &delay_insns, 0644);
MODULE_PARM_DESC(delay_insns,
		 "Delay before the notifier is called, instructions, even; for tests of the measurement (default 0)");
