// SPDX-License-Identifier: GPL-2.0
/*
 * The other direction: a process replies to an event, and the driver rings the
 * device's doorbell. Or the process maps the doorbell, and the driver has no
 * part in it but to hand out the page.
 *
 * A reply comes in the system call of the process that makes it: in process
 * context, where locks may sleep, and for several processes at a time. It is
 * checked before it costs anything: what is wrong with it is an error to who
 * sent it, and counted.
 */
#include <linux/atomic.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/netlink.h>
#include <linux/nospec.h>
#include <linux/pci.h>

#include "irqbed.h"

/*
 * The devices that take replies, for replies that name none. The lock guards
 * the list and keeps each device while a reply is on its way to it; it is taken
 * in process context only.
 */
static DEFINE_MUTEX(irqbed_reply_lock);
static LIST_HEAD(irqbed_reply_devices);

static atomic64_t irqbed_replies;
static atomic64_t irqbed_bad_replies;

/*
 * Passes a reply on to the device, which the caller keeps from going; @entry is
 * when the driver was entered with it. The slot lies in memory that processes
 * may write: it is good enough to tell one event from another, and the device
 * does not trust it.
 */
int irqbed_reply(const struct irqbed_device *idev,
		 const struct irqbed_reply_request *request, u64 entry)
{
	struct irqbed_trace_slot *trace = idev->instrument + IRQBED_SLOT_BASE;

	if (!request->seq || request->reserved || request->slot >= idev->slots)
		return -EINVAL;
	trace += array_index_nospec(request->slot, idev->slots);
	if (READ_ONCE(trace->seq) != request->seq)
		return -ESTALE;
	WRITE_ONCE(trace->command, entry);
	writel(lower_32_bits(request->seq), idev->doorbell + IRQBED_DOORBELL);
	return 0;
}

/* The same, to the device whose slot speaks of the event; says what is wrong. */
int irqbed_reply_any(const struct irqbed_reply_request *request, u64 entry,
		     struct netlink_ext_ack *extack)
{
	const struct irqbed_device *idev;
	int err = -ENODEV;

	mutex_lock(&irqbed_reply_lock);
	list_for_each_entry(idev, &irqbed_reply_devices, reply_node) {
		err = irqbed_reply(idev, request, entry);
		if (!err)
			break;
	}
	mutex_unlock(&irqbed_reply_lock);
	if (err == -EINVAL)
		NL_SET_ERR_MSG_MOD(extack, "no such event or trace slot");
	else if (err == -ESTALE)
		NL_SET_ERR_MSG_MOD(extack, "the trace slot is another event's");
	return err;
}

/* Counts what became of a reply, once for each that the driver was given. */
int irqbed_reply_done(int err)
{
	atomic64_inc(err ? &irqbed_bad_replies : &irqbed_replies);
	return err;
}

void irqbed_reply_read_counters(struct irqbed_counters *sum)
{
	sum->replies = atomic64_read(&irqbed_replies);
	sum->bad_reply = atomic64_read(&irqbed_bad_replies);
}

static void irqbed_reply_unregister(void *data)
{
	struct irqbed_device *idev = data;

	mutex_lock(&irqbed_reply_lock);
	list_del(&idev->reply_node);
	mutex_unlock(&irqbed_reply_lock);
}

int irqbed_reply_register(struct irqbed_device *idev)
{
	struct pci_dev *pdev = idev->pdev;
	resource_size_t start = pci_resource_start(pdev, IRQBED_DOORBELL_BAR);
	resource_size_t length = pci_resource_len(pdev, IRQBED_DOORBELL_BAR);

	static_assert(IRQBED_DOORBELL_BAR_SIZE == PAGE_SIZE);

	/* A page that it shares would be mapped with it. */
	if (length != IRQBED_DOORBELL_BAR_SIZE || !PAGE_ALIGNED(start))
		return dev_err_probe(&pdev->dev, -ENODEV,
				     "the doorbell BAR has %llu bytes at %#llx, not a page\n",
				     (u64)length, (u64)start);
	idev->doorbell = pcim_iomap_region(pdev, IRQBED_DOORBELL_BAR,
					   KBUILD_MODNAME);
	if (IS_ERR(idev->doorbell))
		return dev_err_probe(&pdev->dev, PTR_ERR(idev->doorbell),
				     "cannot map the doorbell BAR\n");

	mutex_lock(&irqbed_reply_lock);
	list_add_tail(&idev->reply_node, &irqbed_reply_devices);
	mutex_unlock(&irqbed_reply_lock);
	return devm_add_action_or_reset(&pdev->dev, irqbed_reply_unregister,
					idev);
}
