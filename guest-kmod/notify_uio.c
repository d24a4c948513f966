// SPDX-License-Identifier: GPL-2.0
/*
 * Notifier 'uio': a device of the kernel's UIO subsystem. The process that
 * has it open asks for a queue, is woken by the UIO counter, and takes the events
 * from the mapping.
 *
 * uio_event_notify() adds to an atomic counter, wakes a wait queue, whose lock
 * everybody takes with interrupts off, and calls kill_fasync(), which does the
 * same with its own: it is what UIO's interrupt handlers call, for any context.
 * The counter adds up, so the process may be woken once for several events,
 * which are all in the queue.
 *
 * /dev/uioN has three maps: the instrument BAR, the queue, and the tail of the
 * queue, the only page of it that can be written. They are not left to UIO: it
 * would map the BAR uncached, which is cached elsewhere, let all of the queue
 * be written, and show the queue's address in sysfs.
 */
#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rculist.h>
#include <linux/uio_driver.h>

#include "irqbed_handle.h"
#include "irqbed_notifier.h"
#include "irqbed_queue.h"

/* In its file a queue lies where it lies in /dev/irqbedN: behind the BAR. */
#define IRQBED_UIO_QUEUE_PAGE	(IRQBED_QUEUE_MMAP_OFFSET >> PAGE_SHIFT)

/*
 * The devices, for page faults: a mapping may outlive its device, and knows it by
 * a number that no other device has had. Taken in process context only, inside of
 * the lock of the memory that is mapped and outside of irqbed_uio.lock.
 */
static DEFINE_MUTEX(irqbed_uio_lock);
static LIST_HEAD(irqbed_uio_devices);

struct irqbed_uio {
	struct uio_info info;
	struct irqbed_device *idev;
	/* In irqbed_uio_devices. */
	struct list_head node;
	unsigned long number;
	/*
	 * Guards the list of the device's queues and what is below. Taken in
	 * process context only, inside of the lock under which UIO calls us.
	 */
	struct mutex lock;
	/* By one process. */
	bool open;
	/* NULL until that process asks for events. */
	struct irqbed_queue *queue;
	/* There will be no queue any more. */
	bool gone;
	/* Of the node that is open. */
	struct address_space *mapping;
};

static struct irqbed_uio *irqbed_uio_of(struct uio_info *info)
{
	return container_of(info, struct irqbed_uio, info);
}

/* One process at a time: there is one counter, and one queue to map. */
static int irqbed_uio_open(struct uio_info *info, struct inode *inode)
{
	struct irqbed_uio *uio = irqbed_uio_of(info);
	int err = 0;

	mutex_lock(&uio->lock);
	if (uio->open)
		err = -EBUSY;
	else
		uio->mapping = inode->i_mapping;
	uio->open = true;
	mutex_unlock(&uio->lock);
	return err;
}

/* Not called for a device that was open when it went. */
static int irqbed_uio_release(struct uio_info *info, struct inode *inode)
{
	struct irqbed_uio *uio = irqbed_uio_of(info);

	mutex_lock(&uio->lock);
	if (uio->queue) {
		irqbed_queue_detach(uio->queue);
		irqbed_queue_free(uio->queue);
		uio->queue = NULL;
	}
	uio->mapping = NULL;
	uio->open = false;
	mutex_unlock(&uio->lock);
	return 0;
}

static int irqbed_uio_listen(struct irqbed_uio *uio, u32 size)
{
	struct irqbed_queue *queue;

	lockdep_assert_held(&uio->lock);
	if (!is_power_of_2(size) || size < IRQBED_MIN_QUEUE ||
	    size > IRQBED_MAX_QUEUE)
		return -EINVAL;
	if (uio->gone)
		return -ENODEV;
	if (uio->queue)
		return -EBUSY;
	queue = irqbed_queue_new(U32_MAX, size, NULL);
	if (!queue)
		return -ENOMEM;
	queue->uio = &uio->info;
	uio->queue = queue;
	irqbed_queue_attach(queue, &uio->idev->queues);
	return 0;
}

/* No more events: a process that waits is woken. */
static int irqbed_uio_stop(struct irqbed_uio *uio)
{
	struct irqbed_queue *queue;

	mutex_lock(&uio->lock);
	if (uio->queue)
		irqbed_queue_detach(uio->queue);
	mutex_unlock(&uio->lock);
	synchronize_rcu();
	/* It may have been closed meanwhile. */
	mutex_lock(&uio->lock);
	queue = uio->queue;
	if (queue)
		irqbed_queue_stop(queue);
	mutex_unlock(&uio->lock);
	if (!queue)
		return -EINVAL;
	uio_event_notify(&uio->info);
	return 0;
}

/*
 * What is written to the device: 1, or the size of a ring, for events; 0 for no
 * more of them.
 */
static int irqbed_uio_control(struct uio_info *info, s32 value)
{
	struct irqbed_uio *uio = irqbed_uio_of(info);
	int err;

	if (!value)
		return irqbed_uio_stop(uio);
	mutex_lock(&uio->lock);
	err = irqbed_uio_listen(uio, value == 1 ? IRQBED_DEFAULT_QUEUE : value);
	mutex_unlock(&uio->lock);
	return err;
}

/* The device of a mapping, with irqbed_uio_lock held; NULL once it is gone. */
static struct irqbed_uio *irqbed_uio_find(const struct vm_area_struct *vma)
{
	unsigned long number = (unsigned long)vma->vm_private_data;
	struct irqbed_uio *uio;

	lockdep_assert_held(&irqbed_uio_lock);
	list_for_each_entry(uio, &irqbed_uio_devices, node) {
		if (uio->number == number)
			return uio;
	}
	return NULL;
}

static vm_fault_t irqbed_uio_queue_fault(struct vm_fault *vmf)
{
	struct irqbed_uio *uio;

	mutex_lock(&irqbed_uio_lock);
	uio = irqbed_uio_find(vmf->vma);
	if (uio) {
		mutex_lock(&uio->lock);
		if (uio->queue)
			vmf->page = irqbed_queue_page(uio->queue,
						      vmf->pgoff - IRQBED_UIO_QUEUE_PAGE);
		mutex_unlock(&uio->lock);
	}
	mutex_unlock(&irqbed_uio_lock);
	return vmf->page ? 0 : VM_FAULT_SIGBUS;
}

static const struct vm_operations_struct irqbed_uio_queue_vm_ops = {
	.fault = irqbed_uio_queue_fault,
};

static vm_fault_t irqbed_uio_bar_fault(struct vm_fault *vmf)
{
	vm_fault_t ret = VM_FAULT_SIGBUS;
	struct irqbed_uio *uio;

	mutex_lock(&irqbed_uio_lock);
	uio = irqbed_uio_find(vmf->vma);
	if (uio)
		ret = irqbed_bar_insert(uio->idev, vmf->vma);
	mutex_unlock(&irqbed_uio_lock);
	return ret;
}

static const struct vm_operations_struct irqbed_uio_bar_vm_ops = {
	.fault = irqbed_uio_bar_fault,
};

/* As irqbed_queue_mmap(), but that pages come when they are first used. */
static int irqbed_uio_map_queue(const struct irqbed_uio *uio,
				struct irqbed_area *area)
{
	unsigned long first = irqbed_area_pgoff(area) - IRQBED_UIO_QUEUE_MAP;
	unsigned long pages = irqbed_area_pages(area);

	if (!uio->queue || first + pages > irqbed_queue_pages(uio->queue))
		return -EINVAL;
	if (first != 1 || pages != 1) {
		if (irqbed_area_writable(area))
			return -EACCES;
		irqbed_area_stay_read_only(area);
	}
	irqbed_area_stay_as_it_is(area);
	irqbed_area_pgoff(area) = IRQBED_UIO_QUEUE_PAGE + first;
	irqbed_area_private(area) = (void *)uio->number;
	area->vm_ops = &irqbed_uio_queue_vm_ops;
	return 0;
}

/* As irqbed_handle_mmap(). */
static int irqbed_uio_map_bar(const struct irqbed_uio *uio,
			      struct irqbed_area *area)
{
	if (irqbed_area_pages(area) > irqbed_bar_pages(uio->idev, 0))
		return -EINVAL;
	irqbed_area_stay_as_it_is(area);
	irqbed_area_is_io(area);
	irqbed_area_private(area) = (void *)uio->number;
	area->vm_ops = &irqbed_uio_bar_vm_ops;
	return 0;
}

static int irqbed_uio_map(struct uio_info *info, struct irqbed_area *area)
{
	struct irqbed_uio *uio = irqbed_uio_of(info);

	/* A private copy would look right and never change. */
	if (!irqbed_area_shared(area))
		return -EINVAL;
	switch (irqbed_area_pgoff(area)) {
	case IRQBED_UIO_INSTRUMENT:
		return irqbed_uio_map_bar(uio, area);
	case IRQBED_UIO_QUEUE_MAP:
	case IRQBED_UIO_TAIL_MAP:
		return irqbed_uio_map_queue(uio, area);
	}
	return -EINVAL;
}

/*
 * A device that UIO has unregistered must not be notified, so the queue goes
 * first. A process that reads gets what is left, and then EIO.
 */
static void irqbed_uio_unregister(void *data)
{
	struct irqbed_uio *uio = data;

	mutex_lock(&irqbed_uio_lock);
	list_del(&uio->node);
	mutex_unlock(&irqbed_uio_lock);
	mutex_lock(&uio->lock);
	uio->gone = true;
	/* The node exists as long as it is open. */
	if (uio->mapping)
		irqbed_bar_unmap(uio->mapping);
	mutex_unlock(&uio->lock);
	irqbed_uio_stop(uio);
	uio_unregister_device(&uio->info);
	/* UIO calls us no more, not even when the file is closed. */
	if (uio->queue)
		irqbed_queue_free(uio->queue);
	mutex_destroy(&uio->lock);
}

static int irqbed_uio_add(struct irqbed_device *idev)
{
	static atomic_long_t last;
	struct device *dev = &idev->pdev->dev;
	struct irqbed_uio *uio;
	int err;

	uio = devm_kzalloc(dev, sizeof(*uio), GFP_KERNEL);
	if (!uio)
		return -ENOMEM;
	uio->idev = idev;
	uio->number = atomic_long_inc_return(&last);
	mutex_init(&uio->lock);
	uio->info = (struct uio_info) {
		.name = devm_kasprintf(dev, GFP_KERNEL, "irqbed%d", idev->id),
		.version = "1",
		.irq = UIO_IRQ_CUSTOM,
		.open = irqbed_uio_open,
		.release = irqbed_uio_release,
		.irqcontrol = irqbed_uio_control,
		.irqbed_uio_hook = irqbed_uio_map,
		.mem = {
			[IRQBED_UIO_INSTRUMENT] = {
				.name = "instrument",
				.addr = pci_resource_start(idev->pdev,
							   IRQBED_INSTRUMENT_BAR),
				.size = pci_resource_len(idev->pdev,
							 IRQBED_INSTRUMENT_BAR),
				.memtype = UIO_MEM_PHYS,
			},
			[IRQBED_UIO_QUEUE_MAP] = {
				.name = "queue",
				/* At most: it depends on the ring. */
				.size = 2 * IRQBED_QUEUE_PAGE + IRQBED_MAX_QUEUE,
				.memtype = UIO_MEM_VIRTUAL,
			},
			[IRQBED_UIO_TAIL_MAP] = {
				.name = "tail",
				.size = IRQBED_QUEUE_PAGE,
				.memtype = UIO_MEM_VIRTUAL,
			},
		},
	};
	if (!uio->info.name)
		return -ENOMEM;
	err = uio_register_device(dev, &uio->info);
	if (err)
		return dev_err_probe(dev, err, "cannot make a UIO device\n");
	mutex_lock(&irqbed_uio_lock);
	list_add(&uio->node, &irqbed_uio_devices);
	mutex_unlock(&irqbed_uio_lock);
	return devm_add_action_or_reset(dev, irqbed_uio_unregister, uio);
}

IRQBED_DEFINE_QUEUE_NOTIFY(irqbed_uio, uio_event_notify(queue->uio))

const struct irqbed_notifier irqbed_notify_uio = {
	.name = "uio",
	.add_device = irqbed_uio_add,
	.notify = irqbed_uio_notify,
};
