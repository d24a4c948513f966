// SPDX-License-Identifier: GPL-2.0
/*
 * Module and PCI: finds the device, believes nothing it says before it is
 * checked, arms a completion ring for each vector, and takes all back in the
 * opposite order.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dma-mapping.h>
#include <linux/idr.h>
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>

#include "irqbed.h"
#include "irqbed_netlink.h"
#include "notify.h"

static int unit = IRQBED_DEFAULT_UNIT;
module_param(unit, int, 0444);
MODULE_PARM_DESC(unit, "Netlink protocol unit, 0 to 31 (default 31)");

static char *notifier = "netlink";
module_param(notifier, charp, 0444);
MODULE_PARM_DESC(notifier,
		 "How listeners are told: netlink, netlink-broadcast, chardev, eventfd or mmap (default netlink)");

static char *context = "hardirq";
module_param(context, charp, 0444);
MODULE_PARM_DESC(context,
		 "Where events are handed on: hardirq, threaded, bh or workqueue (default hardirq)");

static unsigned int batch = 1;
module_param(batch, uint, 0444);
MODULE_PARM_DESC(batch,
		 "Most events in a message, 1 to 64, for a notifier that can (default 1)");

static unsigned int vectors = IRQBED_VECTORS;
module_param(vectors, uint, 0444);
MODULE_PARM_DESC(vectors,
		 "Most MSI-X vectors to use, each with a ring (default 32)");

static unsigned int ring_entries = 1024;
module_param(ring_entries, uint, 0444);
MODULE_PARM_DESC(ring_entries,
		 "Records in a ring, a power of two from 2 to 65536 (default 1024)");

static unsigned int payload_area = 256 << 10;
module_param(payload_area, uint, 0444);
MODULE_PARM_DESC(payload_area,
		 "Payload area of a ring, bytes, a multiple of 64 from 8192 to 16777216 (default 262144)");

/*
 * Guards the list of devices and the counters of devices that are gone. Taken
 * in process context only: in probe, removal, requests and the flush worker.
 */
static DEFINE_MUTEX(irqbed_devices_lock);
static LIST_HEAD(irqbed_devices);
static struct irqbed_counters irqbed_retired;

static DEFINE_IDA(irqbed_ids);

static void irqbed_add_ring_counters(struct irqbed_counters *sum,
				     const struct irqbed_ring_counters *ring)
{
	sum->interrupts += READ_ONCE(ring->interrupts);
	sum->merged_interrupts += READ_ONCE(ring->merged_interrupts);
	sum->events += READ_ONCE(ring->events);
	sum->sent += READ_ONCE(ring->sent);
	sum->no_listener += READ_ONCE(ring->no_listener);
	sum->socket_full += READ_ONCE(ring->socket_full);
	sum->listener_gone += READ_ONCE(ring->listener_gone);
	sum->no_memory += READ_ONCE(ring->no_memory);
	sum->bad_record += READ_ONCE(ring->bad_record);
	sum->queue_full += READ_ONCE(ring->queue_full);
}

static void irqbed_add_device_counters(struct irqbed_counters *sum,
				       const struct irqbed_device *idev)
{
	u32 v;

	for (v = 0; v < idev->nr_rings; v++)
		irqbed_add_ring_counters(sum, &idev->rings[v].counters);
}

/* The counters of all rings that are and ever were; the others are left. */
void irqbed_read_counters(struct irqbed_counters *sum)
{
	const struct irqbed_device *idev;

	mutex_lock(&irqbed_devices_lock);
	*sum = irqbed_retired;
	list_for_each_entry(idev, &irqbed_devices, node)
		irqbed_add_device_counters(sum, idev);
	mutex_unlock(&irqbed_devices_lock);
}

/*
 * A flush in two steps, so that the lock is free while it waits and a device
 * can go meanwhile. One flush at a time: the worker of irqbed_netlink.c.
 */
void irqbed_flush_begin(void)
{
	struct irqbed_device *idev;
	u32 v;

	mutex_lock(&irqbed_devices_lock);
	list_for_each_entry(idev, &irqbed_devices, node) {
		for (v = 0; v < idev->nr_rings; v++)
			idev->rings[v].flush_from =
				READ_ONCE(idev->rings[v].consumer);
	}
	mutex_unlock(&irqbed_devices_lock);
}

bool irqbed_flush_done(void)
{
	const struct irqbed_device *idev;
	bool done = true;
	u32 v;

	mutex_lock(&irqbed_devices_lock);
	list_for_each_entry(idev, &irqbed_devices, node) {
		for (v = 0; done && v < idev->nr_rings; v++)
			done = irqbed_ring_flushed(&idev->rings[v]);
	}
	mutex_unlock(&irqbed_devices_lock);
	return done;
}

/*
 * Stops the device for good: when this returns, it raises nothing and does no
 * DMA until it is enabled again. The write may be posted; reading back brings
 * it home.
 */
static int irqbed_reset(struct irqbed_device *idev)
{
	void __iomem *ctrl = idev->regs + IRQBED_REG_CTRL;
	u32 value;
	int err;

	writel(IRQBED_CTRL_RESET, ctrl);
	err = readl_poll_timeout(ctrl, value,
				 PCI_POSSIBLE_ERROR(value) ||
				 !(value & IRQBED_CTRL_RESET),
				 100, 100 * USEC_PER_MSEC);
	if (!err && PCI_POSSIBLE_ERROR(value))
		err = -ENODEV;
	return err;
}

static void irqbed_quiesce(void *data)
{
	/* A device that was pulled has stopped by itself. */
	irqbed_reset(data);
}

static int irqbed_identify(struct irqbed_device *idev)
{
	struct device *dev = &idev->pdev->dev;
	resource_size_t length, room;
	u32 magic, version;

	magic = readl(idev->regs + IRQBED_REG_MAGIC);
	if (PCI_POSSIBLE_ERROR(magic))
		return dev_err_probe(dev, -ENODEV,
				     "the device does not answer: registers read all ones\n");
	if (magic != IRQBED_MAGIC)
		return dev_err_probe(dev, -ENODEV,
				     "this is no irqbed device: magic is %#x, not %#x\n",
				     magic, IRQBED_MAGIC);

	version = readl(idev->regs + IRQBED_REG_VERSION);
	if (version != IRQBED_ABI_VERSION)
		return dev_err_probe(dev, -ENODEV,
				     "the device speaks ABI version %u, this driver %u; build both from the same sources\n",
				     version, IRQBED_ABI_VERSION);

	idev->vectors = readl(idev->regs + IRQBED_REG_VECTORS);
	idev->slots = readl(idev->regs + IRQBED_REG_SLOTS);
	idev->max_payload = readl(idev->regs + IRQBED_REG_MAX_PAYLOAD);

	length = pci_resource_len(idev->pdev, IRQBED_INSTRUMENT_BAR);
	room = length > IRQBED_SLOT_BASE ?
		(length - IRQBED_SLOT_BASE) / IRQBED_SLOT_SIZE : 0;
	if (!idev->vectors || idev->vectors > IRQBED_VECTORS ||
	    !idev->slots || idev->slots > room ||
	    idev->max_payload > IRQBED_MAX_PAYLOAD)
		return dev_err_probe(dev, -ENODEV,
				     "the device makes no sense: %u vectors (of %u), %u trace slots (of %llu), payloads of %u bytes (of %u)\n",
				     idev->vectors, IRQBED_VECTORS, idev->slots,
				     (u64)room, idev->max_payload,
				     IRQBED_MAX_PAYLOAD);
	return 0;
}

/*
 * The instrument BAR is memory of the host, which maps it cached too: so it is
 * cached here and in /dev/irqbedN, and the processors keep it coherent. Stamps
 * and consumer indices are plain stores in program order, visible at once.
 * Write-combining would hold them back until somebody fences, and make every
 * read of userspace slow.
 *
 * It works the same under TCG, which knows no memory types, and under KVM,
 * which takes the type for RAM-backed memory from the host and, where it heeds
 * the guest's, finds the one the host uses. Where firmware left the BAR in an
 * uncached MTRR the kernel maps it uncached, here and for userspace alike:
 * slower, still right.
 */
static int irqbed_map_instrument(struct irqbed_device *idev)
{
	struct pci_dev *pdev = idev->pdev;
	int err;

	err = pcim_request_region(pdev, IRQBED_INSTRUMENT_BAR, KBUILD_MODNAME);
	if (err)
		return dev_err_probe(&pdev->dev, err,
				     "cannot claim the instrument BAR\n");
	idev->instrument =
		devm_memremap(&pdev->dev,
			      pci_resource_start(pdev, IRQBED_INSTRUMENT_BAR),
			      pci_resource_len(pdev, IRQBED_INSTRUMENT_BAR),
			      MEMREMAP_WB);
	if (IS_ERR(idev->instrument))
		return dev_err_probe(&pdev->dev, PTR_ERR(idev->instrument),
				     "cannot map the instrument BAR\n");
	return 0;
}

static int irqbed_map(struct irqbed_device *idev)
{
	struct pci_dev *pdev = idev->pdev;
	resource_size_t length = pci_resource_len(pdev, IRQBED_CONTROL_BAR);
	int err;

	if (length < IRQBED_CONTROL_BAR_SIZE)
		return dev_err_probe(&pdev->dev, -ENODEV,
				     "the control BAR has %llu bytes, not %u\n",
				     (u64)length, IRQBED_CONTROL_BAR_SIZE);
	idev->regs = pcim_iomap_region(pdev, IRQBED_CONTROL_BAR, KBUILD_MODNAME);
	if (IS_ERR(idev->regs))
		return dev_err_probe(&pdev->dev, PTR_ERR(idev->regs),
				     "cannot map the control BAR\n");

	err = irqbed_identify(idev);
	if (err)
		return err;
	return irqbed_map_instrument(idev);
}

static void irqbed_free_rings(void *data)
{
	struct irqbed_device *idev = data;
	u32 v;

	for (v = 0; v < idev->nr_rings; v++)
		kvfree(idev->rings[v].entry);
	kvfree(idev->rings);
}

static int irqbed_alloc_rings(struct irqbed_device *idev)
{
	struct device *dev = &idev->pdev->dev;
	struct irqbed_ring *ring;
	u32 v;
	int err;

	/* Whole pages, because rings are aligned to cache lines. */
	idev->rings = kvzalloc(PAGE_ALIGN(idev->nr_rings * sizeof(*ring)),
			       GFP_KERNEL);
	if (!idev->rings)
		return -ENOMEM;
	err = devm_add_action_or_reset(dev, irqbed_free_rings, idev);
	if (err)
		return err;

	for (v = 0; v < idev->nr_rings; v++) {
		ring = &idev->rings[v];
		ring->idev = idev;
		ring->vector = v;
		ring->entries = ring_entries;
		ring->payload_area = payload_area;
		ring->max_payload = idev->max_payload;
		ring->slots = idev->slots;
		ring->trace = idev->instrument + IRQBED_SLOT_BASE;
		ring->consumer_shared = idev->instrument +
			IRQBED_CONSUMER_BASE + v * IRQBED_CONSUMER_STRIDE;
		ring->records =
			dmam_alloc_coherent(dev,
					    ring_entries * sizeof(*ring->records),
					    &ring->records_dma, GFP_KERNEL);
		ring->payloads = dmam_alloc_coherent(dev, payload_area,
						     &ring->payloads_dma,
						     GFP_KERNEL);
		if (irqbed_context->deferred)
			ring->entry = kvcalloc(ring_entries,
					       sizeof(*ring->entry),
					       GFP_KERNEL);
		if (!ring->records || !ring->payloads ||
		    (irqbed_context->deferred && !ring->entry))
			return dev_err_probe(dev, -ENOMEM,
					     "no memory for ring %u of %u; load with less vectors, ring_entries (%u) or payload_area (%u)\n",
					     v, idev->nr_rings, ring_entries,
					     payload_area);
	}
	return 0;
}

/* Rings that are gone keep counting in the sum. Their interrupts are free. */
static void irqbed_retire(void *data)
{
	struct irqbed_device *idev = data;

	mutex_lock(&irqbed_devices_lock);
	list_del(&idev->node);
	irqbed_add_device_counters(&irqbed_retired, idev);
	mutex_unlock(&irqbed_devices_lock);
}

/* Interrupts are free: what they had put off is done or will never be. */
static void irqbed_cancel(void *data)
{
	struct irqbed_device *idev = data;
	u32 v;

	for (v = 0; v < idev->nr_rings; v++)
		irqbed_context->cancel(&idev->rings[v]);
}

static int irqbed_prepare_context(struct irqbed_device *idev)
{
	u32 v;

	if (!irqbed_context->prepare)
		return 0;
	for (v = 0; v < idev->nr_rings; v++)
		irqbed_context->prepare(&idev->rings[v]);
	return devm_add_action_or_reset(&idev->pdev->dev, irqbed_cancel, idev);
}

static int irqbed_request_irqs(struct irqbed_device *idev)
{
	/*
	 * IRQF_NO_THREAD: the command line's 'threadirqs' must not move what
	 * is measured. With PREEMPT_RT it must, the locks behind a notifier
	 * sleep there.
	 */
	unsigned long flags = IS_ENABLED(CONFIG_PREEMPT_RT) ? 0 : IRQF_NO_THREAD;
	struct device *dev = &idev->pdev->dev;
	const char *name;
	u32 v;
	int err;

	for (v = 0; v < idev->nr_rings; v++) {
		name = devm_kasprintf(dev, GFP_KERNEL, "irqbed%d-%u", idev->id,
				      v);
		if (!name)
			return -ENOMEM;
		err = devm_request_threaded_irq(dev,
						pci_irq_vector(idev->pdev, v),
						irqbed_context->handler,
						irqbed_context->thread, flags,
						name, &idev->rings[v]);
		if (err)
			return dev_err_probe(dev, err,
					     "cannot take the interrupt of vector %u\n",
					     v);
	}
	return 0;
}

static int irqbed_arm_ring(struct irqbed_device *idev,
			   const struct irqbed_ring *ring)
{
	void __iomem *regs = idev->regs + IRQBED_REG_RING_BASE +
			     ring->vector * IRQBED_REG_RING_STRIDE;

	/* The device starts at 0 and so do we. */
	WRITE_ONCE(*ring->consumer_shared, ring->consumer);
	writel(lower_32_bits(ring->records_dma), regs + IRQBED_RING_RECORDS_LO);
	writel(upper_32_bits(ring->records_dma), regs + IRQBED_RING_RECORDS_HI);
	writel(lower_32_bits(ring->payloads_dma), regs + IRQBED_RING_PAYLOAD_LO);
	writel(upper_32_bits(ring->payloads_dma), regs + IRQBED_RING_PAYLOAD_HI);
	writel(ring->entries, regs + IRQBED_RING_ENTRIES);
	writel(ring->payload_area, regs + IRQBED_RING_PAYLOAD_SIZE);
	writel(1, regs + IRQBED_RING_ARM);
	if (readl(regs + IRQBED_RING_ARM) != 1)
		return dev_err_probe(&idev->pdev->dev, -EIO,
				     "the device refused ring %u: %u records at %pad, %u bytes of payloads at %pad\n",
				     ring->vector, ring->entries,
				     &ring->records_dma, ring->payload_area,
				     &ring->payloads_dma);
	return 0;
}

static int irqbed_arm(struct irqbed_device *idev)
{
	u32 v, status;
	int err;

	for (v = 0; v < idev->nr_rings; v++) {
		err = irqbed_arm_ring(idev, &idev->rings[v]);
		if (err)
			return err;
	}
	writel(IRQBED_CTRL_ENABLE, idev->regs + IRQBED_REG_CTRL);
	status = readl(idev->regs + IRQBED_REG_STATUS);
	if (PCI_POSSIBLE_ERROR(status) || !(status & IRQBED_STATUS_READY))
		return dev_err_probe(&idev->pdev->dev, -EIO,
				     "the device is not ready after enabling it: status %#x\n",
				     status);
	return 0;
}

static void irqbed_free_id(void *data)
{
	struct irqbed_device *idev = data;

	ida_free(&irqbed_ids, idev->id);
}

/*
 * Everything is undone by devres in the opposite order, on errors as on
 * removal: the character device goes first, the device is reset while its
 * interrupts still have a handler, free_irq() waits for the last of them, what
 * they had put off is cancelled, the counters are kept, and only then are the
 * rings freed.
 */
static int irqbed_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct device *dev = &pdev->dev;
	struct irqbed_device *idev;
	int err;

	idev = devm_kzalloc(dev, sizeof(*idev), GFP_KERNEL);
	if (!idev)
		return -ENOMEM;
	idev->pdev = pdev;
	INIT_LIST_HEAD(&idev->queues);
	pci_set_drvdata(pdev, idev);

	idev->id = ida_alloc(&irqbed_ids, GFP_KERNEL);
	if (idev->id < 0)
		return idev->id;
	err = devm_add_action_or_reset(dev, irqbed_free_id, idev);
	if (err)
		return err;

	err = pcim_enable_device(pdev);
	if (err)
		return dev_err_probe(dev, err, "cannot enable the device\n");
	err = irqbed_map(idev);
	if (err)
		return err;
	err = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (err)
		return dev_err_probe(dev, err, "no 64-bit DMA\n");

	/* Whoever had it before may have left it running. */
	err = irqbed_reset(idev);
	if (err)
		return dev_err_probe(dev, err, "the device does not reset\n");
	pci_set_master(pdev);

	err = pci_alloc_irq_vectors(pdev, 1, min(vectors, idev->vectors),
				    PCI_IRQ_MSIX);
	if (err < 0)
		return dev_err_probe(dev, err, "no MSI-X vectors\n");
	idev->nr_rings = err;

	err = irqbed_alloc_rings(idev);
	if (err)
		return err;

	mutex_lock(&irqbed_devices_lock);
	list_add_tail(&idev->node, &irqbed_devices);
	mutex_unlock(&irqbed_devices_lock);
	err = devm_add_action_or_reset(dev, irqbed_retire, idev);
	if (err)
		return err;

	err = irqbed_prepare_context(idev);
	if (err)
		return err;
	err = irqbed_request_irqs(idev);
	if (err)
		return err;
	err = devm_add_action_or_reset(dev, irqbed_quiesce, idev);
	if (err)
		return err;
	err = irqbed_arm(idev);
	if (err)
		return err;

	err = irqbed_chardev_register(idev);
	if (err)
		return dev_err_probe(dev, err, "cannot make /dev/irqbed%d\n",
				     idev->id);

	dev_info(dev, "/dev/irqbed%d: %u of %u vectors, rings of %u records and %u bytes, %s in %s on netlink unit %d\n",
		 idev->id, idev->nr_rings, idev->vectors, ring_entries,
		 payload_area, irqbed_notifier->name, irqbed_context->name,
		 unit);
	return 0;
}

/* The next kernel must not find a device that writes into its memory. */
static void irqbed_shutdown(struct pci_dev *pdev)
{
	irqbed_reset(pci_get_drvdata(pdev));
}

static const struct pci_device_id irqbed_ids_table[] = {
	{ PCI_DEVICE(IRQBED_PCI_VENDOR_ID, IRQBED_PCI_DEVICE_ID) },
	{ }
};
MODULE_DEVICE_TABLE(pci, irqbed_ids_table);

static struct pci_driver irqbed_driver = {
	.name = KBUILD_MODNAME,
	.id_table = irqbed_ids_table,
	.probe = irqbed_probe,
	.shutdown = irqbed_shutdown,
};

static int irqbed_check_parameters(void)
{
	if (!vectors || vectors > IRQBED_VECTORS) {
		pr_err("vectors=%u is not a number from 1 to %u\n", vectors,
		       IRQBED_VECTORS);
		return -EINVAL;
	}
	if (!is_power_of_2(ring_entries) || ring_entries < IRQBED_MIN_ENTRIES ||
	    ring_entries > IRQBED_MAX_ENTRIES) {
		pr_err("ring_entries=%u is not a power of two from %u to %u\n",
		       ring_entries, IRQBED_MIN_ENTRIES, IRQBED_MAX_ENTRIES);
		return -EINVAL;
	}
	if (payload_area % IRQBED_PAYLOAD_ALIGN ||
	    payload_area < IRQBED_MIN_PAYLOAD_AREA ||
	    payload_area > IRQBED_MAX_PAYLOAD_AREA) {
		pr_err("payload_area=%u is not a multiple of %u from %u to %u\n",
		       payload_area, IRQBED_PAYLOAD_ALIGN,
		       IRQBED_MIN_PAYLOAD_AREA, IRQBED_MAX_PAYLOAD_AREA);
		return -EINVAL;
	}
	return irqbed_context_select(context) ?:
	       irqbed_notifier_select(notifier, batch);
}

static int __init irqbed_init(void)
{
	int err;

	err = irqbed_check_parameters();
	if (err)
		return err;
	err = irqbed_netlink_start(unit);
	if (err)
		return err;
	if (irqbed_context->start) {
		err = irqbed_context->start();
		if (err)
			goto stop_netlink;
	}
	if (irqbed_notifier->start) {
		err = irqbed_notifier->start();
		if (err)
			goto stop_context;
	}
	err = pci_register_driver(&irqbed_driver);
	if (err)
		goto stop_notifier;
	return 0;

stop_notifier:
	if (irqbed_notifier->stop)
		irqbed_notifier->stop();
stop_context:
	if (irqbed_context->stop)
		irqbed_context->stop();
stop_netlink:
	irqbed_netlink_stop();
	return err;
}

/* Devices first: then nobody is left who could notify. */
static void __exit irqbed_exit(void)
{
	pci_unregister_driver(&irqbed_driver);
	if (irqbed_notifier->stop)
		irqbed_notifier->stop();
	if (irqbed_context->stop)
		irqbed_context->stop();
	irqbed_netlink_stop();
}

module_init(irqbed_init);
module_exit(irqbed_exit);

MODULE_AUTHOR("The irqbed project");
MODULE_DESCRIPTION("Driver of the irqbed event device: how long an interrupt takes to reach a process");
MODULE_LICENSE("GPL");
