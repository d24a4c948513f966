// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include <linux/pci.h>

static int first_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	void __iomem *regs;

	if (pcim_enable_device(pdev))
		return -EIO;
	regs = pcim_iomap(pdev, 0, 0);
	if (!regs)
		return -ENOMEM;
	pci_info(pdev, "register 0 is %#x\n", ioread32(regs));
	return 0;
}

static const struct pci_device_id first_ids[] = { { PCI_DEVICE(0x1234, 0x11e8) }, {} };
MODULE_DEVICE_TABLE(pci, first_ids);

static struct pci_driver first_driver = {
	.name = "first",
	.id_table = first_ids,
	.probe = first_probe,
};
module_pci_driver(first_driver);

MODULE_DESCRIPTION("The smallest driver there is");
MODULE_LICENSE("GPL");
