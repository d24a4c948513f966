// SPDX-License-Identifier: GPL-2.0
/*
 * Driver of QEMU's educational device, and of ours of that name: the attribute
 * "factorial" of the device computes one, and /dev/edu is the 4096 bytes of its
 * buffer, which it reads and writes by DMA. The device may be pulled while
 * processes use it: their calls end with ENODEV. It may sleep: its buffer keeps
 * its content.
 */
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/wait.h>

#define EDU_ID			0x00
#define EDU_ID_MASK		0xffff
#define EDU_ID_VALUE		0x00ed
#define EDU_FACTORIAL		0x08
#define EDU_STATUS		0x20
#define EDU_STATUS_COMPUTING	0x01
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

/* "PCI: Rename PCI_IRQ_LEGACY to PCI_IRQ_INTX": the new name is of 6.8. */
#ifndef PCI_IRQ_INTX
#define PCI_IRQ_INTX		PCI_IRQ_LEGACY
#endif

static bool msi = true;
module_param(msi, bool, 0444);
MODULE_PARM_DESC(msi, "interrupt by message, not by the line");

struct edu {
	struct miscdevice misc;
	void __iomem *regs;
	u8 *memory;
	dma_addr_t addr;
	struct mutex lock;	/* one operation at a time */
	wait_queue_head_t wait;
	bool gone;		/* set once, by edu_remove() */
	u32 factorial;		/* the last result */
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

	/* All ones come from a device that is gone. */
	if (!status || PCI_POSSIBLE_ERROR(status))
		return IRQ_NONE;
	iowrite32(status, edu->regs + EDU_IRQ_ACK);
	wake_up(&edu->wait);
	return IRQ_HANDLED;
}

/* Takes the lock if the device is still there. */
static int edu_begin(struct edu *edu)
{
	if (mutex_lock_interruptible(&edu->lock))
		return -ERESTARTSYS;
	if (!READ_ONCE(edu->gone))
		return 0;
	mutex_unlock(&edu->lock);
	return -ENODEV;
}

/* 0 if the register says that the device is idle, -EBUSY if it is not. */
static int edu_state(struct edu *edu, unsigned int reg, u32 busy)
{
	u32 value;

	if (READ_ONCE(edu->gone))
		return -ENODEV;
	value = ioread32(edu->regs + reg);
	if (PCI_POSSIBLE_ERROR(value))
		return -ENODEV;
	return value & busy ? -EBUSY : 0;
}

/*
 * Waits until the device is idle, a second at most. The register decides, and an
 * interrupt only has it read: an interrupt may be lost, or belong to an operation
 * that was given up.
 */
static int edu_wait(struct edu *edu, unsigned int reg, u32 busy)
{
	int ret;

	wait_event_timeout(edu->wait, edu_state(edu, reg, busy) != -EBUSY, HZ);
	ret = edu_state(edu, reg, busy);
	return ret == -EBUSY ? -ETIMEDOUT : ret;
}

/* Moves bytes between the device's buffer and the same place in memory. */
static int edu_transfer(struct edu *edu, size_t offset, size_t len, bool to_memory)
{
	u64 inside = EDU_BUFFER + offset, outside = edu->addr + offset;
	u32 command = EDU_DMA_START | EDU_DMA_INTERRUPT;

	if (to_memory)
		command |= EDU_DMA_TO_MEMORY;
	lo_hi_writeq(to_memory ? inside : outside, edu->regs + EDU_DMA_SOURCE);
	lo_hi_writeq(to_memory ? outside : inside, edu->regs + EDU_DMA_DESTINATION);
	lo_hi_writeq(len, edu->regs + EDU_DMA_COUNT);
	iowrite32(command, edu->regs + EDU_DMA_COMMAND);
	return edu_wait(edu, EDU_DMA_COMMAND, EDU_DMA_START);
}

/* A transfer that was given up may still use the memory: it ends first. */
static int edu_idle(struct edu *edu)
{
	return edu_wait(edu, EDU_DMA_COMMAND, EDU_DMA_START);
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
	ret = edu_idle(edu) ?: edu_transfer(edu, *pos, len, true);
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
	ret = edu_idle(edu);
	if (!ret && copy_from_user(edu->memory + *pos, from, len))
		ret = -EFAULT;
	if (!ret)
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
	ret = edu_begin(edu);
	if (ret)
		return ret;
	/* The device ignores a number while it computes. */
	ret = edu_wait(edu, EDU_STATUS, EDU_STATUS_COMPUTING);
	if (ret)
		goto out;
	/* Before the number: afterwards it might be too late. */
	iowrite32(EDU_STATUS_INTERRUPT, edu->regs + EDU_STATUS);
	iowrite32(number, edu->regs + EDU_FACTORIAL);
	ret = edu_wait(edu, EDU_STATUS, EDU_STATUS_COMPUTING);
	if (!ret)
		WRITE_ONCE(edu->factorial, ioread32(edu->regs + EDU_FACTORIAL));
out:
	mutex_unlock(&edu->lock);
	return ret ?: count;
}

static ssize_t factorial_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct edu *edu = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u\n", READ_ONCE(edu->factorial));
}

static DEVICE_ATTR_RW(factorial);

static struct attribute *edu_attrs[] = {
	&dev_attr_factorial.attr,
	NULL
};

static const struct attribute_group edu_group = { .attrs = edu_attrs };

static void edu_free_vectors(void *pdev)
{
	pci_free_irq_vectors(pdev);
}

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
	init_waitqueue_head(&edu->wait);
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

	ret = pci_alloc_irq_vectors(pdev, 1, 1, msi ? PCI_IRQ_MSI : PCI_IRQ_INTX);
	if (ret < 0)
		return ret;
	ret = devm_add_action_or_reset(&pdev->dev, edu_free_vectors, pdev);
	if (ret)
		return ret;
	ret = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, 0), edu_irq, IRQF_SHARED, "edu",
			       edu);
	if (ret)
		return ret;
	edu->misc.minor = MISC_DYNAMIC_MINOR;
	edu->misc.name = "edu";
	edu->misc.fops = &edu_fops;
	pci_set_drvdata(pdev, edu);
	/*
	 * Not .dev_groups: the kernel removes those before it calls edu_remove(),
	 * and waits for a process that waits for the device.
	 */
	ret = devm_device_add_group(&pdev->dev, &edu_group);
	if (ret)
		return ret;
	return misc_register(&edu->misc);
}

static void edu_remove(struct pci_dev *pdev)
{
	struct edu *edu = pci_get_drvdata(pdev);

	/* Whoever waits for the device ends now, and whoever comes next at once. */
	WRITE_ONCE(edu->gone, true);
	wake_up_all(&edu->wait);
	misc_deregister(&edu->misc);
	mutex_lock(&edu->lock);
	/* A transfer under way must not reach memory that is freed. */
	pci_clear_master(pdev);
	mutex_unlock(&edu->lock);
}

/* No process uses the device now, and a device that slept may forget its buffer. */
static int edu_suspend(struct device *dev)
{
	struct edu *edu = dev_get_drvdata(dev);

	return edu_idle(edu) ?: edu_transfer(edu, 0, EDU_BUFFER_SIZE, true);
}

static int edu_resume(struct device *dev)
{
	return edu_transfer(dev_get_drvdata(dev), 0, EDU_BUFFER_SIZE, false);
}

static DEFINE_SIMPLE_DEV_PM_OPS(edu_pm, edu_suspend, edu_resume);

static const struct pci_device_id edu_ids[] = { { PCI_DEVICE(0x1234, 0x11e8) }, {} };
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name = "edu",
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
	.driver.pm = pm_sleep_ptr(&edu_pm),
};
module_pci_driver(edu_driver);

MODULE_DESCRIPTION("Driver of QEMU's educational device");
MODULE_LICENSE("GPL");
