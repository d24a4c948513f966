// SPDX-License-Identifier: GPL-2.0
/* Driver of the device "template": takes it only if it works, also after a sleep. */

#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pm.h>

#define TEMPLATE_ID		0x00
#define TEMPLATE_ID_VALUE	0x1bed7e57
#define TEMPLATE_SCRATCH	0x04
#define TEMPLATE_RAISE		0x08
#define TEMPLATE_STATUS		0x0c

struct template {
	void __iomem *regs;
	struct completion interrupted;
};

static irqreturn_t template_irq(int irq, void *data)
{
	struct template *template = data;
	u32 status = ioread32(template->regs + TEMPLATE_STATUS);

	/* All ones come from a device that is gone. */
	if (!status || PCI_POSSIBLE_ERROR(status))
		return IRQ_NONE;
	iowrite32(status, template->regs + TEMPLATE_STATUS);
	complete(&template->interrupted);
	return IRQ_HANDLED;
}

static int template_check(struct template *template)
{
	u32 kept;

	reinit_completion(&template->interrupted);
	iowrite32(0x12345678, template->regs + TEMPLATE_SCRATCH);
	kept = ioread32(template->regs + TEMPLATE_SCRATCH);
	if (kept != 0x12345678)
		return -EIO;
	iowrite32(1, template->regs + TEMPLATE_RAISE);
	if (!wait_for_completion_timeout(&template->interrupted, HZ))
		return -ETIMEDOUT;
	return 0;
}

static void template_free_vectors(void *pdev)
{
	pci_free_irq_vectors(pdev);
}

static int template_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct template *template = devm_kzalloc(&pdev->dev, sizeof(*template), GFP_KERNEL);
	int ret;

	if (!template)
		return -ENOMEM;
	init_completion(&template->interrupted);
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	template->regs = pcim_iomap(pdev, 0, 0);
	if (!template->regs)
		return -ENOMEM;
	if (ioread32(template->regs + TEMPLATE_ID) != TEMPLATE_ID_VALUE)
		return -ENODEV;
	/* Messages are writes to memory, too. */
	pci_set_master(pdev);

	ret = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_ALL_TYPES);
	if (ret < 0)
		return ret;
	ret = devm_add_action_or_reset(&pdev->dev, template_free_vectors, pdev);
	if (ret)
		return ret;
	ret = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, 0), template_irq, IRQF_SHARED,
			       "template", template);
	if (ret)
		return ret;
	ret = template_check(template);
	if (ret)
		return dev_err_probe(&pdev->dev, ret, "the device does not work\n");
	pci_set_drvdata(pdev, template);
	return 0;
}

/* A device that slept may have forgotten what its driver told it: tell it here. */
static int template_resume(struct device *dev)
{
	return template_check(dev_get_drvdata(dev));
}

static DEFINE_SIMPLE_DEV_PM_OPS(template_pm, NULL, template_resume);

static const struct pci_device_id template_ids[] = { { PCI_DEVICE(0x1bed, 0x7e57) }, {} };
MODULE_DEVICE_TABLE(pci, template_ids);

static struct pci_driver template_driver = {
	.name = "template",
	.id_table = template_ids,
	.probe = template_probe,
	.driver.pm = pm_sleep_ptr(&template_pm),
};
module_pci_driver(template_driver);

MODULE_DESCRIPTION("Driver of the device template");
MODULE_LICENSE("GPL");
