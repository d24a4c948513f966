// SPDX-License-Identifier: GPL-2.0
/* /dev/dice: a read of n bytes throws the dice n times. */

#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>

#define DICE_BUFFER		0x08
#define DICE_THROW		0x10
#define DICE_STATUS		0x14
#define DICE_STATUS_LIE		0x1
#define DICE_STATUS_ALL		0x3

struct dice {
	struct miscdevice misc;
	void __iomem *regs;
	u8 *results;
	dma_addr_t addr;
	struct mutex lock;	/* one throw at a time */
	struct completion done;
	u32 status;
};

static irqreturn_t dice_irq(int irq, void *data)
{
	struct dice *dice = data;
	u32 status = ioread32(dice->regs + DICE_STATUS);

	if (!status)
		return IRQ_NONE;
	iowrite32(status & DICE_STATUS_ALL, dice->regs + DICE_STATUS);
	dice->status = status;
	complete(&dice->done);
	return IRQ_HANDLED;
}

static ssize_t dice_read(struct file *file, char __user *to, size_t len, loff_t *pos)
{
	struct dice *dice = container_of(file->private_data, struct dice, misc);
	ssize_t ret;

	len = min(len, (size_t)PAGE_SIZE);
	if (!len)
		return 0;
	if (mutex_lock_interruptible(&dice->lock))
		return -ERESTARTSYS;
	reinit_completion(&dice->done);
	/* Told each time, so that a reset of the device costs nothing. */
	iowrite32(lower_32_bits(dice->addr), dice->regs + DICE_BUFFER);
	iowrite32(upper_32_bits(dice->addr), dice->regs + DICE_BUFFER + 4);
	iowrite32(len, dice->regs + DICE_THROW);
	/* Not interruptible: the device writes the buffer until it is done. */
	if (!wait_for_completion_timeout(&dice->done, 10 * HZ))
		ret = -ETIMEDOUT;
	else if (dice->status != DICE_STATUS_LIE)
		ret = -EIO;
	else
		ret = copy_to_user(to, dice->results, len) ? -EFAULT : len;
	mutex_unlock(&dice->lock);
	return ret;
}

static const struct file_operations dice_fops = {
	.owner = THIS_MODULE,
	.read = dice_read,
};

static int dice_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct dice *dice = devm_kzalloc(&pdev->dev, sizeof(*dice), GFP_KERNEL);
	int ret;

	if (!dice)
		return -ENOMEM;
	mutex_init(&dice->lock);
	init_completion(&dice->done);
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	dice->regs = pcim_iomap(pdev, 0, 0);
	dice->results = dmam_alloc_coherent(&pdev->dev, PAGE_SIZE, &dice->addr, GFP_KERNEL);
	if (!dice->regs || !dice->results)
		return -ENOMEM;
	pci_set_master(pdev);
	/* Freed by pcim_enable_device(), as long as it enabled them. */
	ret = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI | PCI_IRQ_INTX);
	if (ret < 0)
		return ret;
	ret = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, 0), dice_irq, IRQF_SHARED, "dice",
			       dice);
	if (ret)
		return ret;
	dice->misc.minor = MISC_DYNAMIC_MINOR;
	dice->misc.name = "dice";
	dice->misc.fops = &dice_fops;
	pci_set_drvdata(pdev, dice);
	return misc_register(&dice->misc);
}

static void dice_remove(struct pci_dev *pdev)
{
	struct dice *dice = pci_get_drvdata(pdev);

	misc_deregister(&dice->misc);
	/* Nobody is told of it any more. */
	pci_clear_master(pdev);
}

static const struct pci_device_id dice_ids[] = { { PCI_DEVICE(0x1bed, 0xd1ce) }, {} };
MODULE_DEVICE_TABLE(pci, dice_ids);

static struct pci_driver dice_driver = {
	.name = "dice",
	.id_table = dice_ids,
	.probe = dice_probe,
	.remove = dice_remove,
};
module_pci_driver(dice_driver);

MODULE_DESCRIPTION("Driver of the dice of docs/your-own-device.md");
MODULE_LICENSE("GPL");
