// SPDX-License-Identifier: GPL-2.0
/*
 * PCI: finds the device, believes nothing it says before it is checked, builds
 * what an event needs in the order of its journey, and takes all back in the
 * opposite one.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dma-mapping.h>
#include <linux/idr.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pm.h>

#include "irqbed.h"
#include "irqbed_netlink.h"
#include "irqbed_notifier.h"

static DEFINE_IDA(irqbed_ids);

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

static void irqbed_free_id(void *data)
{
	struct irqbed_device *idev = data;

	ida_free(&irqbed_ids, idev->id);
}

/*
 * Everything is undone by devres in the opposite order, on errors as on
 * removal: what the notifier added and the character device go first, the
 * watchdog stops, the device is reset while its interrupts still have a handler,
 * free_irq() waits for the last of them, bottom halves are cancelled, the counters
 * are kept, and only then are the rings freed.
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

	err = irqbed_alloc_vectors(idev);
	if (err)
		return err;
	err = irqbed_alloc_rings(idev);
	if (err)
		return err;
	err = irqbed_watchdog_prepare(idev);
	if (err)
		return err;
	err = irqbed_devices_add(idev);
	if (err)
		return err;
	err = irqbed_request_irqs(idev);
	if (err)
		return err;
	err = devm_add_action_or_reset(dev, irqbed_quiesce, idev);
	if (err)
		return err;
	err = irqbed_enable(idev);
	if (err)
		return err;
	err = irqbed_watchdog_start(idev);
	if (err)
		return err;
	err = irqbed_reply_register(idev);
	if (err)
		return err;

	err = irqbed_chardev_register(idev);
	if (err)
		return dev_err_probe(dev, err, "cannot make /dev/irqbed%d\n",
				     idev->id);
	if (irqbed_notifier->add_device) {
		err = irqbed_notifier->add_device(idev);
		if (err)
			return err;
	}

	dev_info(dev, "/dev/irqbed%d: %u of %u rings of %u records and %u bytes, %u interrupts by %s, %s in %s on netlink unit %d\n",
		 idev->id, idev->nr_rings, idev->vectors,
		 irqbed_entries(&idev->rings->consumer),
		 idev->rings->consumer.payload_area, idev->nr_irqs,
		 irqbed_irq_title(), irqbed_notifier->name,
		 irqbed_context->name, irqbed_unit);
	return 0;
}

/* The next kernel must not find a device that writes into its memory. */
static void irqbed_shutdown(struct pci_dev *pdev)
{
	struct irqbed_device *idev = pci_get_drvdata(pdev);

	irqbed_watchdog_stop(idev);
	irqbed_reset(idev);
}

/*
 * The PCI core resets the function, as somebody has asked it to by sysfs, and
 * gives it back its configuration space before it says so.
 */
static void irqbed_reset_prepare(struct pci_dev *pdev)
{
	irqbed_watchdog_suspend(pci_get_drvdata(pdev));
}

static void irqbed_reset_done(struct pci_dev *pdev)
{
	irqbed_watchdog_resume(pci_get_drvdata(pdev));
}

static const struct pci_error_handlers irqbed_error_handlers = {
	.reset_prepare = irqbed_reset_prepare,
	.reset_done = irqbed_reset_done,
};

/*
 * The PCI core saves the configuration space, takes the device out of D0 and
 * masks its interrupts after this, and undoes it before irqbed_pm_resume(). The
 * same pair is for hibernation: neither the kernel that writes the image nor
 * the one that reads it finds the device at work, and the one in the image sets
 * it up anew, whatever became of it meanwhile.
 */
static int irqbed_pm_suspend(struct device *dev)
{
	irqbed_watchdog_suspend(dev_get_drvdata(dev));
	return 0;
}

/* Where the device cannot be set up, the watchdog tries again. */
static int irqbed_pm_resume(struct device *dev)
{
	irqbed_watchdog_resume(dev_get_drvdata(dev));
	return 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(irqbed_pm_ops, irqbed_pm_suspend,
				irqbed_pm_resume);

static const struct pci_device_id irqbed_ids_table[] = {
	{ PCI_DEVICE(IRQBED_PCI_VENDOR_ID, IRQBED_PCI_DEVICE_ID) },
	{ }
};
MODULE_DEVICE_TABLE(pci, irqbed_ids_table);

struct pci_driver irqbed_driver = {
	.name = KBUILD_MODNAME,
	.id_table = irqbed_ids_table,
	.probe = irqbed_probe,
	.shutdown = irqbed_shutdown,
	.err_handler = &irqbed_error_handlers,
	.driver.pm = pm_sleep_ptr(&irqbed_pm_ops),
};
