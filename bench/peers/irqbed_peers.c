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
 * One process at a time has a device open. When the device is removed, its calls
 * end with ENODEV, and an access to what it has mapped of the device with SIGBUS.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/eventfd.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
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

/* "mm: introduce vma->vm_flags wrapper functions": before 6.3 it is a field. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#define peer_vm_flags_set(vma, flags)	((vma)->vm_flags |= (flags))
#else
#define peer_vm_flags_set(vma, flags)	vm_flags_set(vma, flags)
#endif

struct peer;

struct peer_kind {
	/* The device file. */
	const char *name;
	irq_handler_t handler;
	int (*map)(struct peer *peer);
	/* Where a page of the device file lies; 0 if there is none. */
	phys_addr_t (*page_addr)(struct peer *peer, pgoff_t number);
};

struct peer {
	struct pci_dev *pdev;
	const struct peer_kind *kind;
	struct peer_page *page;
	/* Of edu. */
	void __iomem *regs;
	struct miscdevice misc;
	/* Held by the device and by the open file. */
	struct kref users;
	/* 1 while a process has the device file open. */
	atomic_t open;
	/*
	 * Taken by open(), the last close(), page faults and the removal: guards
	 * the next two, and what is mapped.
	 */
	struct mutex lock;
	bool gone;
	/* Of the open file, NULL if there is none. */
	struct address_space *mapping;
	/*
	 * Set by that process before it waits for anything, cleared when it goes.
	 * The interrupt handler uses it in an RCU read-side section.
	 */
	struct eventfd_ctx *eventfd;
	/* Written by the interrupt handler, or its thread, alone. */
	u64 interrupts;
	wait_queue_head_t wait;
};

struct peer_file {
	struct peer *peer;
	/* Interrupts that read() has told of. */
	u64 seen;
};

static void peer_free(struct kref *users)
{
	kfree(container_of(users, struct peer, users));
}

static void peer_put(void *peer)
{
	kref_put(&((struct peer *)peer)->users, peer_free);
}

static __always_inline void peer_tell(struct peer *peer)
{
	struct eventfd_ctx *eventfd;

	WRITE_ONCE(peer->interrupts, peer->interrupts + 1);
	rcu_read_lock();
	eventfd = READ_ONCE(peer->eventfd);
	if (eventfd)
		peer_eventfd_signal(eventfd);
	else
		wake_up_interruptible(&peer->wait);
	rcu_read_unlock();
}

/*
 * The time is stamped in the hard interrupt on every kernel. With PREEMPT_RT the
 * locks of eventfds and wait queues sleep, so that a thread tells the process.
 */
static __always_inline irqreturn_t peer_interrupt(struct peer *peer, u64 entry)
{
	WRITE_ONCE(peer->page->isr, entry);
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		return IRQ_WAKE_THREAD;
	peer_tell(peer);
	return IRQ_HANDLED;
}

static irqreturn_t peer_thread(int irq, void *data)
{
	peer_tell(data);
	return IRQ_HANDLED;
}

static irqreturn_t ivshmem_interrupt(int irq, void *data)
{
	u64 entry = rdtsc_ordered();

	return peer_interrupt(data, entry);
}

static irqreturn_t edu_interrupt(int irq, void *data)
{
	u64 entry = rdtsc_ordered();
	struct peer *peer = data;
	u32 status = readl(peer->regs + EDU_IRQ_STATUS);

	/* All ones come from a device that is gone. */
	if (!status || PCI_POSSIBLE_ERROR(status))
		return IRQ_NONE;
	writel(status, peer->regs + EDU_IRQ_ACK);
	return peer_interrupt(peer, entry);
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

static phys_addr_t ivshmem_page_addr(struct peer *peer, pgoff_t number)
{
	return number ? 0 : pci_resource_start(peer->pdev, IVSHMEM_SHARED_BAR);
}

static int edu_map(struct peer *peer)
{
	peer->regs = pcim_iomap(peer->pdev, EDU_BAR, 0);
	if (!peer->regs)
		return -ENOMEM;
	peer->page = (void *)devm_get_free_pages(&peer->pdev->dev,
						 GFP_KERNEL | __GFP_ZERO, 0);
	return peer->page ? 0 : -ENOMEM;
}

static phys_addr_t edu_page_addr(struct peer *peer, pgoff_t number)
{
	if (!number)
		return virt_to_phys(peer->page);
	number -= PEER_REGISTERS_OFFSET >> PAGE_SHIFT;
	if (number >= pci_resource_len(peer->pdev, EDU_BAR) >> PAGE_SHIFT)
		return 0;
	return pci_resource_start(peer->pdev, EDU_BAR) + (number << PAGE_SHIFT);
}

static const struct peer_kind ivshmem = {
	.name = "peer-ivshmem",
	.handler = ivshmem_interrupt,
	.map = ivshmem_map,
	.page_addr = ivshmem_page_addr,
};

static const struct peer_kind edu = {
	.name = "peer-edu",
	.handler = edu_interrupt,
	.map = edu_map,
	.page_addr = edu_page_addr,
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
	/* Under the lock that misc_deregister() takes: the device has its hold. */
	kref_get(&peer->users);
	f->peer = peer;
	f->seen = READ_ONCE(peer->interrupts);
	file->private_data = f;
	mutex_lock(&peer->lock);
	peer->mapping = file->f_mapping;
	mutex_unlock(&peer->lock);
	return 0;
}

/* The interrupt handler may still use the one before. */
static void peer_set_eventfd(struct peer *peer, struct eventfd_ctx *new)
{
	struct eventfd_ctx *old = xchg(&peer->eventfd, new);

	if (!old)
		return;
	synchronize_rcu();
	eventfd_ctx_put(old);
}

static int peer_release(struct inode *inode, struct file *file)
{
	struct peer_file *f = file->private_data;
	struct peer *peer = f->peer;

	peer_set_eventfd(peer, NULL);
	kfree(f);
	mutex_lock(&peer->lock);
	peer->mapping = NULL;
	mutex_unlock(&peer->lock);
	atomic_set(&peer->open, 0);
	peer_put(peer);
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
				       READ_ONCE(peer->interrupts) != f->seen ||
				       READ_ONCE(peer->gone));
	if (err)
		return err;
	if (READ_ONCE(peer->gone))
		return -ENODEV;
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

/* Pages are mapped when they are touched: nothing is mapped once it is gone. */
static vm_fault_t peer_fault(struct vm_fault *vmf)
{
	struct peer_file *f = vmf->vma->vm_file->private_data;
	struct peer *peer = f->peer;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	phys_addr_t addr;

	mutex_lock(&peer->lock);
	addr = peer->gone ? 0 : peer->kind->page_addr(peer, vmf->pgoff);
	if (addr)
		ret = vmf_insert_pfn(vmf->vma, vmf->address, PHYS_PFN(addr));
	mutex_unlock(&peer->lock);
	return ret;
}

static const struct vm_operations_struct peer_vm_ops = {
	.fault = peer_fault,
};

static int peer_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	vma->vm_ops = &peer_vm_ops;
	peer_vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	if (vma->vm_pgoff)
		vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	return 0;
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

static int peer_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct device *dev = &pdev->dev;
	struct peer *peer;
	int err;

	peer = kzalloc(sizeof(*peer), GFP_KERNEL);
	if (!peer)
		return -ENOMEM;
	kref_init(&peer->users);
	err = devm_add_action_or_reset(dev, peer_put, peer);
	if (err)
		return err;
	mutex_init(&peer->lock);
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
	err = devm_request_threaded_irq(dev, pci_irq_vector(pdev, 0),
					peer->kind->handler,
					IS_ENABLED(CONFIG_PREEMPT_RT) ?
					peer_thread : NULL,
					IRQF_NO_THREAD, peer->kind->name, peer);
	if (err)
		return dev_err_probe(dev, err, "cannot have its interrupt\n");
	peer->misc.minor = MISC_DYNAMIC_MINOR;
	peer->misc.name = peer->kind->name;
	peer->misc.fops = &peer_fops;
	peer->misc.mode = 0600;
	pci_set_drvdata(pdev, peer);
	return misc_register(&peer->misc);
}

static void peer_remove(struct pci_dev *pdev)
{
	struct peer *peer = pci_get_drvdata(pdev);

	misc_deregister(&peer->misc);
	mutex_lock(&peer->lock);
	WRITE_ONCE(peer->gone, true);
	if (peer->mapping)
		unmap_mapping_range(peer->mapping, 0, 0, 1);
	mutex_unlock(&peer->lock);
	/* Whoever waits is told, and finds the device gone. */
	devm_free_irq(&pdev->dev, pci_irq_vector(pdev, 0), peer);
	peer_tell(peer);
	wake_up_interruptible_all(&peer->wait);
}

static const struct pci_device_id peer_ids[] = {
	{ PCI_DEVICE(0x1af4, 0x1110), .driver_data = (kernel_ulong_t)&ivshmem },
	{ PCI_DEVICE(0x1234, 0x11e8), .driver_data = (kernel_ulong_t)&edu },
	{ }
};
MODULE_DEVICE_TABLE(pci, peer_ids);

static struct pci_driver peer_driver = {
	.name = KBUILD_MODNAME,
	.id_table = peer_ids,
	.probe = peer_probe,
	.remove = peer_remove,
};
module_pci_driver(peer_driver);

MODULE_AUTHOR("The irqbed project");
MODULE_DESCRIPTION("Devices of QEMU that irqbed's own is compared with");
MODULE_LICENSE("GPL");
