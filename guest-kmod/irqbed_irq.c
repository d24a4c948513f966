// SPDX-License-Identifier: GPL-2.0
/*
 * The interrupts of a device: how many vectors it gets, and so how many rings,
 * and the handlers (irqbed_context.c) they are given to.
 */
#include <linux/interrupt.h>
#include <linux/minmax.h>
#include <linux/pci.h>

#include "irqbed.h"

int irqbed_alloc_vectors(struct irqbed_device *idev)
{
	int nr;

	nr = pci_alloc_irq_vectors(idev->pdev, 1,
				   min(irqbed_vectors, idev->vectors),
				   PCI_IRQ_MSIX);
	if (nr < 0)
		return dev_err_probe(&idev->pdev->dev, nr,
				     "no MSI-X vectors\n");
	idev->nr_rings = nr;
	return 0;
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

int irqbed_request_irqs(struct irqbed_device *idev)
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

	err = irqbed_prepare_context(idev);
	if (err)
		return err;
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
