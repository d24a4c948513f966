// SPDX-License-Identifier: GPL-2.0
/* The parameter of the stamps. */
#include <linux/moduleparam.h>

#include "irqbed_stamp.h"

DEFINE_STATIC_KEY_TRUE(irqbed_stamps);

static bool stamps = true;
module_param(stamps, bool, 0444);
MODULE_PARM_DESC(stamps,
		 "Stamp the events; off only to find out what that costs (default on)");

void irqbed_stamps_select(void)
{
	if (!stamps)
		static_branch_disable(&irqbed_stamps);
}
