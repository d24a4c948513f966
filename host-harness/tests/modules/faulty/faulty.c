// SPDX-License-Identifier: GPL-2.0
/*
 * A module that does what no driver should, for the tests of `irqbed test`.
 */
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>

static char *fault = "none";
module_param(fault, charp, 0444);
MODULE_PARM_DESC(fault, "none, warn, oops, refuse, stay, hang or leak");

static void *lost;

static int __init faulty_init(void)
{
	pr_info("fault=%s\n", fault);
	WARN(!strcmp(fault, "warn"), "a warning that was asked for\n");
	if (!strcmp(fault, "oops"))
		*(volatile int *)8 = 1;
	if (!strcmp(fault, "refuse"))
		return -EINVAL;
	if (!strcmp(fault, "stay"))
		__module_get(THIS_MODULE);
	if (!strcmp(fault, "hang"))
		while (true)
			schedule_timeout_uninterruptible(MAX_SCHEDULE_TIMEOUT);
	if (!strcmp(fault, "leak")) {
		lost = kmalloc(4321, GFP_KERNEL);
		WRITE_ONCE(lost, NULL);
	}
	return 0;
}
module_init(faulty_init);

static void __exit faulty_exit(void)
{
}
module_exit(faulty_exit);

MODULE_DESCRIPTION("Does what no driver should");
MODULE_LICENSE("GPL");
