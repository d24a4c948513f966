// SPDX-License-Identifier: GPL-2.0
/*
 * A device that is not as the driver left it: it has stopped after an error, was
 * reset behind the driver's back, or was gone and is there again. It is set up
 * anew, with empty rings; what had arrived is handed on before. All of it in
 * process context, by the service (irqbed_service.c) and under its lock.
 */
#include <linux/io.h>
#include <linux/minmax.h>
#include <linux/pci.h>

#include "irqbed.h"

/* Most looks to wait before the next attempt to set a device up. */
#define IRQBED_PATIENCE	16

/* Puts back what a reset of the function took out of its configuration space. */
static void irqbed_restore_config(struct irqbed_device *idev)
{
	const u16 needed = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	struct pci_dev *pdev = idev->pdev;
	u16 command;

	pci_read_config_word(pdev, PCI_COMMAND, &command);
	if (command == (u16)PCI_ERROR_RESPONSE || (command & needed) == needed)
		return;
	if (!pci_load_saved_state(pdev, idev->service.config))
		pci_restore_state(pdev);
}

/* Lets nobody drain, and takes what the rings have. */
void irqbed_suspend_rings(struct irqbed_device *idev)
{
	u32 v;

	for (v = 0; v < idev->nr_rings; v++) {
		irqbed_ring_hold(&idev->rings[v]);
		irqbed_ring_finish(&idev->rings[v]);
	}
}

/*
 * Keeps in mind that the device works, or that it could not be set up (@err): the
 * next attempt waits for some looks, and each time for more.
 */
static void irqbed_judge(struct irqbed_service *service, int err)
{
	if (err) {
		service->health = IRQBED_FAILED;
		service->failures = min(2 * service->failures + 1, IRQBED_PATIENCE);
	} else {
		service->health = IRQBED_WELL;
		service->failures = 0;
	}
	service->patience = service->failures;
}

/* Sets the device up with empty rings, and lets them be drained again. */
int irqbed_resume_rings(struct irqbed_device *idev)
{
	struct irqbed_service *service = &idev->service;
	u32 v;
	int err;

	irqbed_restore_config(idev);
	err = irqbed_reset(idev);
	if (!err) {
		for (v = 0; v < idev->nr_rings; v++)
			irqbed_ring_rewind(&idev->rings[v]);
		err = irqbed_enable(idev);
	}
	for (v = 0; v < idev->nr_rings; v++)
		irqbed_ring_release(&idev->rings[v]);
	irqbed_judge(service, err);
	if (err)
		dev_warn_ratelimited(&idev->pdev->dev,
				     "the device could not be set up anew (error %d): trying again later\n",
				     err);
	else
		service->recoveries++;
	return err;
}

/* Registers that cannot be read say nothing: whoever has them is waited for. */
static void irqbed_unanswered(struct irqbed_device *idev)
{
	struct irqbed_service *service = &idev->service;

	if (service->health != IRQBED_SILENT)
		dev_warn_ratelimited(&idev->pdev->dev,
				     "the device does not answer: it is gone, or its registers are; waiting for it\n");
	service->health = IRQBED_SILENT;
}

/* The device is not what we left it: @status says how. */
static void irqbed_recover(struct irqbed_device *idev, u32 status)
{
	struct irqbed_service *service = &idev->service;
	bool was_gone = service->health == IRQBED_SILENT;

	if (service->patience) {
		service->patience--;
		return;
	}
	irqbed_suspend_rings(idev);
	if (!irqbed_resume_rings(idev))
		dev_warn_ratelimited(&idev->pdev->dev,
				     "the device %s: set up anew\n",
				     was_gone ? "was gone" :
				     status & IRQBED_STATUS_DMA_ERROR ?
				     "stopped after a failed DMA access" :
				     "was reset behind the driver's back");
}

/* Reads what the device says of itself, and does something about it. */
void irqbed_check_device(struct irqbed_device *idev)
{
	struct irqbed_service *service = &idev->service;
	void __iomem *reg = idev->regs + IRQBED_REG_STATUS;
	u32 status = readl(reg);

	if (PCI_POSSIBLE_ERROR(status)) {
		/* Memory is off after a reset of the function, too. */
		irqbed_restore_config(idev);
		status = readl(reg);
	}
	if (PCI_POSSIBLE_ERROR(status)) {
		irqbed_unanswered(idev);
	} else if (!(status & IRQBED_STATUS_READY)) {
		irqbed_recover(idev, status);
	} else {
		if (service->health != IRQBED_WELL)
			dev_info(&idev->pdev->dev, "the device answers again\n");
		irqbed_judge(service, 0);
	}
}
