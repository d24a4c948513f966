// SPDX-License-Identifier: GPL-2.0
/*
 * The devices that irqbed's own is compared with, driven in the same way: the
 * interrupt handler stamps the time before all else and tells a process by an
 * eventfd, or wakes it from read().
 *
 * ivshmem-doorbell: QEMU interrupts when another process writes an eventfd, as
 * with ours. Its shared memory takes the stamps.
 * edu: lies in QEMU itself and interrupts when the guest tells it to, at once or
 * when it has computed a factorial.
 *
 * One process at a time has a device open.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/eventfd.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/wait.h>

#include <asm/tsc.h>

#include "irqbed_peers.h"

#define EDU_BAR			0
#define EDU_IRQ_STATUS		0x24
#define EDU_IRQ_ACK		0x64
#define IVSHMEM_SHARED_BAR	2

/* "eventfd: simplify eventfd_signal()": before 6.8 it takes a number to add. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define peer_eventfd_signal(ctx)	eventfd_signal(ctx, 1)
#else
#define peer_eventfd_signal(ctx)	eventfd_signal(ctx)
#endif

struct peer;

struct peer_kind {
	/* The device file. */
	const char *name;
	irq_handler_t handler;
	int (*map)(struct peer *peer);
	int (*mmap)(struct peer *peer, struct vm_area_struct *vma);
};

struct peer {
	struct pci_dev *pdev;
	const struct peer_kind *kind;
	struct peer_page *page;
	/* Of edu. */
	void __iomem *regs;
	struct miscdevice misc;
	/* 1 while a process has the device file open. */
	atomic_t open;
	/* Set by that process before it waits for anything, cleared when it goes. */
	struct eventfd_ctx *eventfd;
	/* Written by the interrupt handler alone. */
	u64 interrupts;
	wait_queue_head_t wait;
};

struct peer_file {
	struct peer *peer;
	/* Interrupts that read() has told of. */
	u64 seen;
};

static __always_inline void peer_tell(struct peer *peer, u64 entry)
{
	struct eventfd_ctx *eventfd = READ_ONCE(peer->eventfd);

	WRITE_ONCE(peer->page->isr, entry);
	WRITE_ONCE(peer->interrupts, peer->interrupts + 1);
	if (eventfd)
		peer_eventfd_signal(eventfd);
	else
		wake_up_interruptible(&peer->wait);
}

static irqreturn_t ivshmem_interrupt(int irq, void *data)
{
	u64 entry = rdtsc_ordered();

	peer_tell(data, entry);
	return IRQ_HANDLED;
}

static irqreturn_t edu_interrupt(int irq, void *data)
{
	u64 entry = rdtsc_ordered();
	struct peer *peer = data;
	u32 status = readl(peer->regs + EDU_IRQ_STATUS);

	if (!status)
		return IRQ_NONE;
	writel(status, peer->regs + EDU_IRQ_ACK);
	peer_tell(peer, entry);
	return IRQ_HANDLED;
}

static int ivshmem_map(struct peer *peer)
{
	struct pci_dev *pdev = peer->pdev;

	if (pci_resource_len(pdev, IVSHMEM_SHARED_BAR) < PAGE_SIZE)
		return -ENODEV;
	/* Memory of the host, behind a BAR. */
	peer->page = devm_memremap(&pdev->dev,
				   pci_resource_start(pdev, IVSHMEM_SHARED_BAR),
				   PAGE_SIZE, MEMREMAP_WB);
	return PTR_ERR_OR_ZERO(peer->page);
}

static int ivshmem_mmap(struct peer *peer, struct vm_area_struct *vma)
{
	return vm_iomap_memory(vma,
			       pci_resource_start(peer->pdev,
						  IVSHMEM_SHARED_BAR),
			       PAGE_SIZE);
}

static int edu_map(struct peer *peer)
{
	int err = pcim_iomap_regions(peer->pdev, BIT(EDU_BAR), KBUILD_MODNAME);

	if (err)
		return err;
	peer->regs = pcim_iomap_table(peer->pdev)[EDU_BAR];
	peer->page = (void *)devm_get_free_pages(&peer->pdev->dev,
						 GFP_KERNEL | __GFP_ZERO, 0);
	return peer->page ? 0 : -ENOMEM;
}

static int edu_mmap(struct peer *peer, struct vm_area_struct *vma)
{
	if (vma->vm_pgoff == 0) {
		if (vma->vm_end - vma->vm_start != PAGE_SIZE)
			return -EINVAL;
		return vm_insert_page(vma, vma->vm_start,
				      virt_to_page(peer->page));
	}
	vma->vm_pgoff -= PEER_REGISTERS_OFFSET >> PAGE_SHIFT;
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	return vm_iomap_memory(vma, pci_resource_start(peer->pdev, EDU_BAR),
			       pci_resource_len(peer->pdev, EDU_BAR));
}

static const struct peer_kind ivshmem = {
	.name = "peer-ivshmem",
	.handler = ivshmem_interrupt,
	.map = ivshmem_map,
	.mmap = ivshmem_mmap,
};

static const struct peer_kind edu = {
	.name = "peer-edu",
	.handler = edu_interrupt,
	.map = edu_map,
	.mmap = edu_mmap,
};

static int peer_open(struct inode *inode, struct file *file)
{
	struct peer *peer = container_of(file->private_data, struct peer, misc);
	struct peer_file *f;

	if (atomic_cmpxchg(&peer->open, 0, 1))
		return -EBUSY;
	f = kzalloc(sizeof(*f), GFP_KERNEL);
	if (!f) {
		atomic_set(&peer->open, 0);
		return -ENOMEM;
	}
	f->peer = peer;
	f->seen = READ_ONCE(peer->interrupts);
	file->private_data = f;
	return 0;
}

/* An interrupt that is being served may still use the eventfd. */
static void peer_set_eventfd(struct peer *peer, struct eventfd_ctx *new)
{
	struct eventfd_ctx *old = xchg(&peer->eventfd, new);

	if (!old)
		return;
	synchronize_irq(pci_irq_vector(peer->pdev, 0));
	eventfd_ctx_put(old);
}

static int peer_release(struct inode *inode, struct file *file)
{
	struct peer_file *f = file->private_data;
	struct peer *peer = f->peer;

	peer_set_eventfd(peer, NULL);
	kfree(f);
	atomic_set(&peer->open, 0);
	return 0;
}

/* Waits for interrupts that it has not told of; gives how many there were. */
static ssize_t peer_read(struct file *file, char __user *to, size_t len,
			 loff_t *offset)
{
	struct peer_file *f = file->private_data;
	struct peer *peer = f->peer;
	u64 now;
	int err;

	if (len < sizeof(now))
		return -EINVAL;
	err = wait_event_interruptible(peer->wait,
				       READ_ONCE(peer->interrupts) != f->seen);
	if (err)
		return err;
	now = READ_ONCE(peer->interrupts);
	if (put_user(now - f->seen, (u64 __user *)to))
		return -EFAULT;
	f->seen = now;
	return sizeof(now);
}

static long peer_ioctl(struct file *file, unsigned int command,
		       unsigned long arg)
{
	struct peer_file *f = file->private_data;
	struct eventfd_ctx *eventfd;
	s32 fd;

	if (command != PEER_IOC_EVENTFD)
		return -ENOTTY;
	if (get_user(fd, (s32 __user *)arg))
		return -EFAULT;
	eventfd = eventfd_ctx_fdget(fd);
	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	peer_set_eventfd(f->peer, eventfd);
	return 0;
}

static int peer_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct peer_file *f = file->private_data;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	return f->peer->kind->mmap(f->peer, vma);
}

static const struct file_operations peer_fops = {
	/* Keeps the module as long as a file is open or a mapping exists. */
	.owner = THIS_MODULE,
	.open = peer_open,
	.release = peer_release,
	.read = peer_read,
	.unlocked_ioctl = peer_ioctl,
	.mmap = peer_mmap,
};

static void peer_free_vectors(void *data)
{
	pci_free_irq_vectors(data);
}

static void peer_deregister(void *data)
{
	misc_deregister(data);
}

static int peer_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct device *dev = &pdev->dev;
	struct peer *peer;
	int err;

	peer = devm_kzalloc(dev, sizeof(*peer), GFP_KERNEL);
	if (!peer)
		return -ENOMEM;
	peer->pdev = pdev;
	peer->kind = (const struct peer_kind *)id->driver_data;
	init_waitqueue_head(&peer->wait);
	err = pcim_enable_device(pdev);
	if (err)
		return err;
	pci_set_master(pdev);
	err = peer->kind->map(peer);
	if (err)
		return dev_err_probe(dev, err, "cannot map its memory\n");
	err = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSIX | PCI_IRQ_MSI);
	if (err < 0)
		return dev_err_probe(dev, err, "it has no interrupts by messages\n");
	err = devm_add_action_or_reset(dev, peer_free_vectors, pdev);
	if (err)
		return err;
	err = devm_request_irq(dev, pci_irq_vector(pdev, 0),
			       peer->kind->handler, IRQF_NO_THREAD,
			       peer->kind->name, peer);
	if (err)
		return dev_err_probe(dev, err, "cannot have its interrupt\n");
	peer->misc.minor = MISC_DYNAMIC_MINOR;
	peer->misc.name = peer->kind->name;
	peer->misc.fops = &peer_fops;
	peer->misc.mode = 0600;
	err = misc_register(&peer->misc);
	if (err)
		return err;
	return devm_add_action_or_reset(dev, peer_deregister, &peer->misc);
}

static const struct pci_device_id peer_ids[] = {
	{ PCI_DEVICE(0x1af4, 0x1110), .driver_data = (kernel_ulong_t)&ivshmem },
	{ PCI_DEVICE(0x1234, 0x11e8), .driver_data = (kernel_ulong_t)&edu },
	{ }
};
MODULE_DEVICE_TABLE(pci, peer_ids);

/* A process that has a file open would be left with a device that is gone. */
static struct pci_driver peer_driver = {
	.name = KBUILD_MODNAME,
	.id_table = peer_ids,
	.probe = peer_probe,
	.driver.suppress_bind_attrs = true,
};
module_pci_driver(peer_driver);

MODULE_AUTHOR("The irqbed project");
MODULE_DESCRIPTION("Devices of QEMU that irqbed's own is compared with");
MODULE_LICENSE("GPL");
