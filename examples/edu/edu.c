// SPDX-License-Identifier: GPL-2.0
/*
 * Driver of QEMU's educational device, and of ours of that name: the attribute
 * "factorial" of the device computes one, and /dev/edu is the 4096 bytes of its
 * buffer, which it reads and writes by DMA. The device may be pulled while that
 * is open; the file is of no use then.
 */
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

#define EDU_ID			0x00
#define EDU_ID_MASK		0xffff
#define EDU_ID_VALUE		0x00ed
#define EDU_FACTORIAL		0x08
#define EDU_STATUS		0x20
#define EDU_STATUS_INTERRUPT	0x80
#define EDU_IRQ_STATUS		0x24
#define EDU_IRQ_ACK		0x64
#define EDU_DMA_SOURCE		0x80
#define EDU_DMA_DESTINATION	0x88
#define EDU_DMA_COUNT		0x90
#define EDU_DMA_COMMAND		0x98
#define EDU_DMA_START		0x1
#define EDU_DMA_TO_MEMORY	0x2
#define EDU_DMA_INTERRUPT	0x4
#define EDU_BUFFER		0x40000
#define EDU_BUFFER_SIZE		4096

static bool msi = true;
module_param(msi, bool, 0444);
MODULE_PARM_DESC(msi, "interrupt by message, not by the line");

struct edu {
	struct miscdevice misc;
	void __iomem *regs;
	u8 *memory;
	dma_addr_t addr;
	struct mutex lock;	/* one thing at a time, and "gone" */
	bool gone;
	struct completion done;
	struct kref users;	/* the device, and every open file */
};

static void edu_free(struct kref *users)
{
	kfree(container_of(users, struct edu, users));
}

static void edu_put(void *edu)
{
	kref_put(&((struct edu *)edu)->users, edu_free);
}

static irqreturn_t edu_irq(int irq, void *data)
{
	struct edu *edu = data;
	u32 status = ioread32(edu->regs + EDU_IRQ_STATUS);

	if (!status)
		return IRQ_NONE;
	iowrite32(status, edu->regs + EDU_IRQ_ACK);
	complete(&edu->done);
	return IRQ_HANDLED;
}

/* Not interruptible: the device reaches the memory until it is done. */
static int edu_wait(struct edu *edu)
{
	return wait_for_completion_timeout(&edu->done, 10 * HZ) ? 0 : -ETIMEDOUT;
}

/* Takes the lock, where there is still a device. */
static int edu_begin(struct edu *edu)
{
	if (mutex_lock_interruptible(&edu->lock))
		return -ERESTARTSYS;
	if (!edu->gone)
		return 0;
	mutex_unlock(&edu->lock);
	return -ENODEV;
}

/* Moves bytes between the device's buffer and the same place of the memory. */
static int edu_transfer(struct edu *edu, size_t offset, size_t len, bool to_memory)
{
	u64 inside = EDU_BUFFER + offset, outside = edu->addr + offset;
	u32 command = EDU_DMA_START | EDU_DMA_INTERRUPT;

	if (to_memory)
		command |= EDU_DMA_TO_MEMORY;
	reinit_completion(&edu->done);
	lo_hi_writeq(to_memory ? inside : outside, edu->regs + EDU_DMA_SOURCE);
	lo_hi_writeq(to_memory ? outside : inside, edu->regs + EDU_DMA_DESTINATION);
	lo_hi_writeq(len, edu->regs + EDU_DMA_COUNT);
	iowrite32(command, edu->regs + EDU_DMA_COMMAND);
	return edu_wait(edu);
}

/* Under the lock that misc_deregister() takes. */
static int edu_open(struct inode *inode, struct file *file)
{
	struct edu *edu = container_of(file->private_data, struct edu, misc);

	kref_get(&edu->users);
	return 0;
}

static int edu_release(struct inode *inode, struct file *file)
{
	edu_put(container_of(file->private_data, struct edu, misc));
	return 0;
}

static ssize_t edu_read(struct file *file, char __user *to, size_t len, loff_t *pos)
{
	struct edu *edu = container_of(file->private_data, struct edu, misc);
	ssize_t ret;

	if (*pos < 0 || *pos >= EDU_BUFFER_SIZE)
		return 0;
	len = min_t(size_t, len, EDU_BUFFER_SIZE - *pos);
	ret = edu_begin(edu);
	if (ret)
		return ret;
	ret = edu_transfer(edu, *pos, len, true);
	if (!ret)
		ret = copy_to_user(to, edu->memory + *pos, len) ? -EFAULT : len;
	mutex_unlock(&edu->lock);
	if (ret > 0)
		*pos += ret;
	return ret;
}

static ssize_t edu_write(struct file *file, const char __user *from, size_t len, loff_t *pos)
{
	struct edu *edu = container_of(file->private_data, struct edu, misc);
	ssize_t ret;

	if (*pos < 0 || *pos >= EDU_BUFFER_SIZE)
		return -ENOSPC;
	len = min_t(size_t, len, EDU_BUFFER_SIZE - *pos);
	ret = edu_begin(edu);
	if (ret)
		return ret;
	ret = -EFAULT;
	if (!copy_from_user(edu->memory + *pos, from, len))
		ret = edu_transfer(edu, *pos, len, false) ?: len;
	mutex_unlock(&edu->lock);
	if (ret > 0)
		*pos += ret;
	return ret;
}

static const struct file_operations edu_fops = {
	.owner = THIS_MODULE,
	.open = edu_open,
	.release = edu_release,
	.llseek = default_llseek,
	.read = edu_read,
	.write = edu_write,
};

static ssize_t factorial_store(struct device *dev, struct device_attribute *attr,
			       const char *buf, size_t count)
{
	struct edu *edu = dev_get_drvdata(dev);
	u32 number;
	int ret;

	ret = kstrtou32(buf, 0, &number);
	if (ret)
		return ret;
	mutex_lock(&edu->lock);
	reinit_completion(&edu->done);
	/* Before the number: afterwards it might be too late. */
	iowrite32(EDU_STATUS_INTERRUPT, edu->regs + EDU_STATUS);
	iowrite32(number, edu->regs + EDU_FACTORIAL);
	ret = edu_wait(edu);
	mutex_unlock(&edu->lock);
	return ret ?: count;
}

static ssize_t factorial_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct edu *edu = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u\n", ioread32(edu->regs + EDU_FACTORIAL));
}

static DEVICE_ATTR_RW(factorial);

static struct attribute *edu_attrs[] = {
	&dev_attr_factorial.attr,
	NULL
};
ATTRIBUTE_GROUPS(edu);

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu *edu = kzalloc(sizeof(*edu), GFP_KERNEL);
	int ret;

	if (!edu)
		return -ENOMEM;
	kref_init(&edu->users);
	ret = devm_add_action_or_reset(&pdev->dev, edu_put, edu);
	if (ret)
		return ret;
	mutex_init(&edu->lock);
	init_completion(&edu->done);
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	edu->regs = pcim_iomap(pdev, 0, 0);
	if (!edu->regs)
		return -ENOMEM;
	if ((ioread32(edu->regs + EDU_ID) & EDU_ID_MASK) != EDU_ID_VALUE)
		return dev_err_probe(&pdev->dev, -ENODEV, "this is no edu\n");
	/* What the device puts on the bus has no more bits. */
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(28));
	if (ret)
		return ret;
	edu->memory = dmam_alloc_coherent(&pdev->dev, EDU_BUFFER_SIZE, &edu->addr, GFP_KERNEL);
	if (!edu->memory)
		return -ENOMEM;
	pci_set_master(pdev);

	/* Freed by pcim_enable_device(), as long as it enabled them. */
	ret = pci_alloc_irq_vectors(pdev, 1, 1, msi ? PCI_IRQ_MSI : PCI_IRQ_INTX);
	if (ret < 0)
		return ret;
	ret = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, 0), edu_irq, IRQF_SHARED, "edu",
			       edu);
	if (ret)
		return ret;
	edu->misc.minor = MISC_DYNAMIC_MINOR;
	edu->misc.name = "edu";
	edu->misc.fops = &edu_fops;
	pci_set_drvdata(pdev, edu);
	return misc_register(&edu->misc);
}

static void edu_remove(struct pci_dev *pdev)
{
	struct edu *edu = pci_get_drvdata(pdev);

	misc_deregister(&edu->misc);
	/* What has begun ends first. */
	mutex_lock(&edu->lock);
	edu->gone = true;
	mutex_unlock(&edu->lock);
	pci_clear_master(pdev);
}

static const struct pci_device_id edu_ids[] = { { PCI_DEVICE(0x1234, 0x11e8) }, {} };
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name = "edu",
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
	.dev_groups = edu_groups,
};
module_pci_driver(edu_driver);

MODULE_DESCRIPTION("Driver of QEMU's educational device");
MODULE_LICENSE("GPL");
