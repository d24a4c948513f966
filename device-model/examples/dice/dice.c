// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/dice: a read of n bytes throws the dice n times. The device may be pulled
 * while that is open: reads end with ENODEV then.
 */

#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/wait.h>

#define DICE_BUFFER		0x08
#define DICE_THROW		0x10
#define DICE_STATUS		0x14
#define DICE_STATUS_LIE		0x1

struct dice {
	struct miscdevice misc;
	void __iomem *regs;
	u8 *results;
	dma_addr_t addr;
	struct mutex lock;	/* one throw at a time */
	wait_queue_head_t wait;
	u32 status;		/* of the interrupt, 0 until it comes */
	bool gone;		/* set once, by dice_remove() */
	struct kref users;	/* the device, and every open file */
};

static void dice_free(struct kref *users)
{
	kfree(container_of(users, struct dice, users));
}

static void dice_put(void *dice)
{
	kref_put(&((struct dice *)dice)->users, dice_free);
}

static irqreturn_t dice_irq(int irq, void *data)
{
	struct dice *dice = data;
	u32 status = ioread32(dice->regs + DICE_STATUS);

	/* All ones come from a device that is gone. */
	if (!status || PCI_POSSIBLE_ERROR(status))
		return IRQ_NONE;
	iowrite32(status, dice->regs + DICE_STATUS);
	WRITE_ONCE(dice->status, status);
	wake_up(&dice->wait);
	return IRQ_HANDLED;
}

/* Under the lock that misc_deregister() takes. */
static int dice_open(struct inode *inode, struct file *file)
{
	struct dice *dice = container_of(file->private_data, struct dice, misc);

	kref_get(&dice->users);
	return 0;
}

static int dice_release(struct inode *inode, struct file *file)
{
	dice_put(container_of(file->private_data, struct dice, misc));
	return 0;
}

/* Throws the dice. */
static int dice_throw(struct dice *dice, size_t len)
{
	u32 status;

	WRITE_ONCE(dice->status, 0);
	/* Told each time, so that a reset of the device costs nothing. */
	iowrite32(lower_32_bits(dice->addr), dice->regs + DICE_BUFFER);
	iowrite32(upper_32_bits(dice->addr), dice->regs + DICE_BUFFER + 4);
	iowrite32(len, dice->regs + DICE_THROW);
	/* Not interruptible: the device writes the buffer until it is done. */
	wait_event_timeout(dice->wait, READ_ONCE(dice->status) || READ_ONCE(dice->gone), HZ);
	if (READ_ONCE(dice->gone))
		return -ENODEV;
	status = READ_ONCE(dice->status);
	if (!status)
		return -ETIMEDOUT;
	return status == DICE_STATUS_LIE ? 0 : -EIO;
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
	ret = READ_ONCE(dice->gone) ? -ENODEV : dice_throw(dice, len);
	if (!ret)
		ret = copy_to_user(to, dice->results, len) ? -EFAULT : len;
	mutex_unlock(&dice->lock);
	return ret;
}

static const struct file_operations dice_fops = {
	.owner = THIS_MODULE,
	.open = dice_open,
	.release = dice_release,
	.read = dice_read,
};

static void dice_free_vectors(void *pdev)
{
	pci_free_irq_vectors(pdev);
}

static int dice_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct dice *dice = kzalloc(sizeof(*dice), GFP_KERNEL);
	int ret;

	if (!dice)
		return -ENOMEM;
	kref_init(&dice->users);
	mutex_init(&dice->lock);
	init_waitqueue_head(&dice->wait);
	ret = devm_add_action_or_reset(&pdev->dev, dice_put, dice);
	if (ret)
		return ret;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	dice->regs = pcim_iomap(pdev, 0, 0);
	dice->results = dmam_alloc_coherent(&pdev->dev, PAGE_SIZE, &dice->addr, GFP_KERNEL);
	if (!dice->regs || !dice->results)
		return -ENOMEM;
	pci_set_master(pdev);
	ret = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_ALL_TYPES);
	if (ret < 0)
		return ret;
	ret = devm_add_action_or_reset(&pdev->dev, dice_free_vectors, pdev);
	if (ret)
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

	/* Whoever waits for the device ends now, and whoever comes next at once. */
	WRITE_ONCE(dice->gone, true);
	wake_up_all(&dice->wait);
	misc_deregister(&dice->misc);
	mutex_lock(&dice->lock);
	/* A throw under way must not reach memory that is freed. */
	pci_clear_master(pdev);
	mutex_unlock(&dice->lock);
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
