// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/irqbedN: the instrument BAR for a process that stamps and calibrates.
 *
 * Kernels with IO_STRICT_DEVMEM let nobody map through sysfs what a driver has
 * claimed, so the driver offers the mapping itself. It does nothing else.
 */
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>

#include "irqbed.h"

/*
 * Lives as long as the device or the last open file, whichever is longer: a
 * device can be unbound or pulled while a process holds it open.
 */
struct irqbed_chardev {
	struct miscdevice misc;
	struct kref kref;
	char name[16];
	/*
	 * Guards @length, which is 0 once the device is gone. Taken in process
	 * context only.
	 */
	struct mutex lock;
	phys_addr_t start;
	resource_size_t length;
};

static void irqbed_chardev_free(struct kref *kref)
{
	struct irqbed_chardev *chardev =
		container_of(kref, struct irqbed_chardev, kref);

	mutex_destroy(&chardev->lock);
	kfree(chardev);
}

static int irqbed_chardev_open(struct inode *inode, struct file *file)
{
	/*
	 * misc_open() holds the lock that misc_deregister() takes, so the
	 * device cannot go between its lookup and this reference.
	 */
	struct irqbed_chardev *chardev =
		container_of(file->private_data, struct irqbed_chardev, misc);

	kref_get(&chardev->kref);
	return 0;
}

static int irqbed_chardev_release(struct inode *inode, struct file *file)
{
	struct irqbed_chardev *chardev =
		container_of(file->private_data, struct irqbed_chardev, misc);

	kref_put(&chardev->kref, irqbed_chardev_free);
	return 0;
}

/*
 * The mapping is cached, like the driver's own (see irqbed_map_instrument()):
 * that is what vm_page_prot says, and the kernel makes both agree.
 * vm_iomap_memory() checks offset and length against the BAR and marks the
 * mapping as I/O that is neither expanded nor dumped.
 *
 * A mapping made before the device goes stays until the process drops it, as
 * with UIO; it cannot be made afterwards.
 */
static int irqbed_chardev_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct irqbed_chardev *chardev =
		container_of(file->private_data, struct irqbed_chardev, misc);
	int err;

	/* A private copy of shared memory would look right and never change. */
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;

	mutex_lock(&chardev->lock);
	if (chardev->length)
		err = vm_iomap_memory(vma, chardev->start, chardev->length);
	else
		err = -ENODEV;
	mutex_unlock(&chardev->lock);
	return err;
}

static const struct file_operations irqbed_chardev_fops = {
	/* Keeps the module as long as a file is open or a mapping exists. */
	.owner = THIS_MODULE,
	.open = irqbed_chardev_open,
	.release = irqbed_chardev_release,
	.mmap = irqbed_chardev_mmap,
};

static void irqbed_chardev_unregister(void *data)
{
	struct irqbed_chardev *chardev = data;

	misc_deregister(&chardev->misc);
	mutex_lock(&chardev->lock);
	chardev->length = 0;
	mutex_unlock(&chardev->lock);
	kref_put(&chardev->kref, irqbed_chardev_free);
}

int irqbed_chardev_register(struct irqbed_device *idev)
{
	struct pci_dev *pdev = idev->pdev;
	struct irqbed_chardev *chardev;
	int err;

	chardev = kzalloc(sizeof(*chardev), GFP_KERNEL);
	if (!chardev)
		return -ENOMEM;
	kref_init(&chardev->kref);
	mutex_init(&chardev->lock);
	chardev->start = pci_resource_start(pdev, IRQBED_INSTRUMENT_BAR);
	chardev->length = pci_resource_len(pdev, IRQBED_INSTRUMENT_BAR);
	snprintf(chardev->name, sizeof(chardev->name), "irqbed%d", idev->id);
	chardev->misc.minor = MISC_DYNAMIC_MINOR;
	chardev->misc.name = chardev->name;
	chardev->misc.fops = &irqbed_chardev_fops;
	chardev->misc.parent = &pdev->dev;
	chardev->misc.mode = 0600;

	err = misc_register(&chardev->misc);
	if (err) {
		kref_put(&chardev->kref, irqbed_chardev_free);
		return err;
	}
	return devm_add_action_or_reset(&pdev->dev, irqbed_chardev_unregister,
					chardev);
}
