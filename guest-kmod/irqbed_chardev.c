// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/irqbedN: the instrument BAR for a process that stamps and calibrates,
 * the queue (irqbed_queue.c) of a file that asks for events, and the way back
 * (irqbed_reply.c) for who replies to them.
 *
 * Kernels with IO_STRICT_DEVMEM let nobody map through sysfs what a driver has
 * claimed, so the driver offers the mapping itself. Events come through the
 * same node, because who may have the one may have the other, and a device that
 * goes while files are open is the same care for both.
 */
#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/ioctl.h>
#include <linux/kref.h>
#include <linux/log2.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include <asm/tsc.h>

#include "irqbed.h"
#include "irqbed_queue.h"
#include "notify.h"

/*
 * Lives as long as the device or the last open file, whichever is longer: a
 * device can be unbound or pulled while a process holds it open.
 */
struct irqbed_chardev {
	struct miscdevice misc;
	struct kref kref;
	char name[16];
	/*
	 * Guards the device, which is NULL once it is gone, the list of its
	 * queues, and the queue of a file while it gets one; keeps the device
	 * while a reply is on its way to it. Taken in process context only.
	 */
	struct mutex lock;
	struct irqbed_device *idev;
};

/* An open file. */
struct irqbed_file {
	struct irqbed_chardev *chardev;
	/* NULL until it asks for events, and then the same until its end. */
	struct irqbed_queue *queue;
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
	struct irqbed_file *f;

	f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;
	kref_get(&chardev->kref);
	f->chardev = chardev;
	file->private_data = f;
	/* io_uring need not put a read off to a thread: it asks, and polls. */
	file->f_mode |= FMODE_NOWAIT;
	return stream_open(inode, file);
}

static int irqbed_chardev_release(struct inode *inode, struct file *file)
{
	struct irqbed_file *f = file->private_data;

	if (f->queue) {
		mutex_lock(&f->chardev->lock);
		irqbed_queue_detach(f->queue);
		mutex_unlock(&f->chardev->lock);
		irqbed_queue_free(f->queue);
	}
	kref_put(&f->chardev->kref, irqbed_chardev_free);
	kfree(f);
	return 0;
}

static int irqbed_attach(struct irqbed_file *f, struct irqbed_queue *queue)
{
	struct irqbed_chardev *chardev = f->chardev;
	int err = 0;

	mutex_lock(&chardev->lock);
	if (!chardev->idev) {
		err = -ENODEV;
	} else if (f->queue) {
		err = -EBUSY;
	} else {
		list_add_tail_rcu(&queue->node, &chardev->idev->queues);
		/* Whoever finds the queue finds it whole. */
		smp_store_release(&f->queue, queue);
	}
	mutex_unlock(&chardev->lock);
	return err;
}

static int irqbed_ioctl_listen(struct irqbed_file *f, const void __user *arg)
{
	struct irqbed_listen_request request;
	struct eventfd_ctx *eventfd = NULL;
	struct irqbed_queue *queue;
	int err;

	static_assert(IRQBED_IOC_LISTEN ==
		      _IOW(0xb5, 1, struct irqbed_listen_request));

	if (copy_from_user(&request, arg, sizeof(request)))
		return -EFAULT;
	if (!request.size)
		request.size = IRQBED_DEFAULT_QUEUE;
	if (!request.vectors || request.reserved ||
	    !is_power_of_2(request.size) || request.size < IRQBED_MIN_QUEUE ||
	    request.size > IRQBED_MAX_QUEUE)
		return -EINVAL;
	if (!irqbed_notifier->takes_queues)
		return -EOPNOTSUPP;
	if (irqbed_notifier->needs_eventfd !=
	    (request.eventfd != IRQBED_NO_EVENTFD))
		return -EINVAL;
	if (irqbed_notifier->needs_eventfd) {
		eventfd = eventfd_ctx_fdget(request.eventfd);
		if (IS_ERR(eventfd))
			return PTR_ERR(eventfd);
	}
	queue = irqbed_queue_new(request.vectors, request.size, eventfd);
	if (!queue) {
		if (eventfd)
			eventfd_ctx_put(eventfd);
		return -ENOMEM;
	}
	err = irqbed_attach(f, queue);
	if (err) {
		/* It never was a listener that could be forgotten. */
		irqbed_queue_stop(queue);
		irqbed_queue_free(queue);
	}
	return err;
}

static int irqbed_ioctl_stop(struct irqbed_file *f)
{
	struct irqbed_queue *queue = smp_load_acquire(&f->queue);

	if (!queue)
		return -EINVAL;
	mutex_lock(&f->chardev->lock);
	irqbed_queue_detach(queue);
	mutex_unlock(&f->chardev->lock);
	irqbed_queue_stop(queue);
	return 0;
}

/* Waits for an event and takes it: its bytes, 0 when no more will come. */
static ssize_t irqbed_wait(struct irqbed_file *f, struct iov_iter *to,
			   bool nowait)
{
	struct irqbed_queue *queue = smp_load_acquire(&f->queue);
	ssize_t ret;
	bool end;

	if (!queue)
		return -EINVAL;
	for (;;) {
		/* Before the look into the queue: the last event comes first. */
		end = irqbed_queue_stopped(queue);
		ret = irqbed_queue_take(queue, to, nowait);
		if (ret || end)
			return ret;
		if (nowait)
			return -EAGAIN;
		ret = wait_event_interruptible(queue->wait,
					       !irqbed_queue_empty(queue) ||
					       irqbed_queue_stopped(queue));
		if (ret)
			return ret;
	}
}

static ssize_t irqbed_chardev_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *file = iocb->ki_filp;

	return irqbed_wait(file->private_data, to,
			   file->f_flags & O_NONBLOCK ||
			   iocb->ki_flags & IOCB_NOWAIT);
}

static int irqbed_ioctl_wait(struct file *file, void __user *arg)
{
	struct irqbed_wait_request request;
	struct iov_iter to;
	ssize_t ret;

	static_assert(IRQBED_IOC_WAIT ==
		      _IOWR(0xb5, 3, struct irqbed_wait_request));

	if (copy_from_user(&request, arg, sizeof(request)))
		return -EFAULT;
	iov_iter_ubuf(&to, ITER_DEST, u64_to_user_ptr(request.buffer),
		      request.len);
	ret = irqbed_wait(file->private_data, &to, file->f_flags & O_NONBLOCK);
	if (ret < 0)
		return ret;
	request.received = ret;
	return copy_to_user(arg, &request, sizeof(request)) ? -EFAULT : 0;
}

/* Takes the reply of a process; @entry is when the driver was entered with it. */
static int irqbed_take_reply(struct irqbed_file *f, const void __user *from,
			     size_t len, u64 entry)
{
	struct irqbed_chardev *chardev = f->chardev;
	struct irqbed_reply_request request;
	int err;

	if (len != sizeof(request))
		return irqbed_reply_done(-EINVAL);
	if (copy_from_user(&request, from, sizeof(request)))
		return irqbed_reply_done(-EFAULT);
	mutex_lock(&chardev->lock);
	if (chardev->idev)
		err = irqbed_reply(chardev->idev, &request, entry);
	else
		err = -ENODEV;
	mutex_unlock(&chardev->lock);
	return irqbed_reply_done(err);
}

static ssize_t irqbed_chardev_write(struct file *file, const char __user *from,
				    size_t len, loff_t *pos)
{
	u64 entry = rdtsc_ordered();

	return irqbed_take_reply(file->private_data, from, len, entry) ?: len;
}

static int irqbed_ioctl_reply(struct irqbed_file *f, const void __user *arg)
{
	u64 entry = rdtsc_ordered();

	static_assert(IRQBED_IOC_REPLY ==
		      _IOW(0xb5, 4, struct irqbed_reply_request));

	return irqbed_take_reply(f, arg, sizeof(struct irqbed_reply_request),
				 entry);
}

static long irqbed_chardev_ioctl(struct file *file, unsigned int command,
				 unsigned long arg)
{
	void __user *user = (void __user *)arg;

	static_assert(IRQBED_IOC_STOP == _IO(0xb5, 2));

	switch (command) {
	case IRQBED_IOC_LISTEN:
		return irqbed_ioctl_listen(file->private_data, user);
	case IRQBED_IOC_STOP:
		return irqbed_ioctl_stop(file->private_data);
	case IRQBED_IOC_WAIT:
		return irqbed_ioctl_wait(file, user);
	case IRQBED_IOC_REPLY:
		return irqbed_ioctl_reply(file->private_data, user);
	}
	return -ENOTTY;
}

static __poll_t irqbed_chardev_poll(struct file *file,
				    struct poll_table_struct *table)
{
	struct irqbed_file *f = file->private_data;
	struct irqbed_queue *queue = smp_load_acquire(&f->queue);
	__poll_t events = 0;

	if (!queue)
		return EPOLLERR;
	poll_wait(file, &queue->wait, table);
	if (irqbed_queue_stopped(queue))
		events |= EPOLLIN | EPOLLRDNORM | EPOLLHUP;
	if (!irqbed_queue_empty(queue))
		events |= EPOLLIN | EPOLLRDNORM;
	return events;
}

/*
 * O_ASYNC, set or cleared. It means something once the file has a queue, and
 * where the notifier signals: it is refused rather than set in vain. The kernel
 * clears it itself before it releases a file.
 */
static int irqbed_chardev_fasync(int fd, struct file *file, int on)
{
	struct irqbed_file *f = file->private_data;
	struct irqbed_queue *queue = smp_load_acquire(&f->queue);

	if (on && !irqbed_notifier->takes_async)
		return -EOPNOTSUPP;
	if (!queue)
		return on ? -EINVAL : 0;
	return fasync_helper(fd, file, on, &queue->async);
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
	struct irqbed_file *f = file->private_data;
	struct irqbed_queue *queue = smp_load_acquire(&f->queue);
	struct irqbed_chardev *chardev = f->chardev;
	unsigned long offset = IRQBED_QUEUE_MMAP_OFFSET >> PAGE_SHIFT;
	const struct irqbed_device *idev;
	int err;

	/* A private copy of shared memory would look right and never change. */
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;

	if (vma->vm_pgoff >= offset &&
	    vma->vm_pgoff < IRQBED_DOORBELL_MMAP_OFFSET >> PAGE_SHIFT)
		return queue ? irqbed_queue_mmap(queue, vma,
						 vma->vm_pgoff - offset) :
			       -EINVAL;

	mutex_lock(&chardev->lock);
	idev = chardev->idev;
	if (!idev)
		err = -ENODEV;
	else if (vma->vm_pgoff >= IRQBED_DOORBELL_MMAP_OFFSET >> PAGE_SHIFT)
		err = irqbed_reply_mmap(idev, vma);
	else
		err = vm_iomap_memory(vma,
				      pci_resource_start(idev->pdev,
							 IRQBED_INSTRUMENT_BAR),
				      pci_resource_len(idev->pdev,
						       IRQBED_INSTRUMENT_BAR));
	mutex_unlock(&chardev->lock);
	return err;
}

static const struct file_operations irqbed_chardev_fops = {
	/* Keeps the module as long as a file is open or a mapping exists. */
	.owner = THIS_MODULE,
	.open = irqbed_chardev_open,
	.release = irqbed_chardev_release,
	.read_iter = irqbed_chardev_read_iter,
	.write = irqbed_chardev_write,
	.poll = irqbed_chardev_poll,
	.fasync = irqbed_chardev_fasync,
	.unlocked_ioctl = irqbed_chardev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = irqbed_chardev_mmap,
};

static void irqbed_chardev_unregister(void *data)
{
	struct irqbed_chardev *chardev = data;
	struct irqbed_queue *queue, *next;

	misc_deregister(&chardev->misc);
	mutex_lock(&chardev->lock);
	/* Who still waits for events will have no more. */
	list_for_each_entry_safe(queue, next, &chardev->idev->queues, node) {
		irqbed_queue_detach(queue);
		irqbed_queue_stop(queue);
	}
	chardev->idev = NULL;
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
	chardev->idev = idev;
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
