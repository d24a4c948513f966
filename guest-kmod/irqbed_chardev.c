// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/irqbedN: the instrument BAR for a process that stamps and calibrates,
 * the queue (irqbed_queue.c) of a file that asks for events, and replies to them
 * (irqbed_reply.c).
 *
 * Kernels with IO_STRICT_DEVMEM refuse to map through sysfs what a driver has
 * claimed, so the driver offers the mapping itself. Events come through the
 * same node: the same processes may have both, and both must survive a device
 * that is removed while files are open.
 */
#include <linux/eventfd.h>
#include <linux/fs.h>
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
#include "irqbed_handle.h"
#include "irqbed_notifier.h"
#include "irqbed_queue.h"

/*
 * Lives as long as the device or the last open file, whichever is longer: a
 * device can be unbound or pulled while a process holds it open.
 */
struct irqbed_chardev {
	struct miscdevice misc;
	struct kref kref;
	char name[16];
	/* The device, for replies and mappings. */
	struct irqbed_handle *handle;
	/*
	 * Guards what is below, and the queue of a file while it gets one.
	 * Taken in process context only. Nothing sleeps for long under it.
	 */
	struct mutex lock;
	/* The queues of the device; NULL once there may be no more of them. */
	struct list_head *queues;
	struct list_head files;
};

/* An open file. */
struct irqbed_file {
	struct irqbed_chardev *chardev;
	/* In irqbed_chardev.files. */
	struct list_head node;
	/* Of the node that was opened: a device may have several. */
	struct address_space *mapping;
	/* NULL until it asks for events, and then the same until its end. */
	struct irqbed_queue *queue;
};

static void irqbed_chardev_free(struct kref *kref)
{
	struct irqbed_chardev *chardev =
		container_of(kref, struct irqbed_chardev, kref);

	irqbed_handle_put(chardev->handle);
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
	f->mapping = file->f_mapping;
	mutex_lock(&chardev->lock);
	list_add_tail(&f->node, &chardev->files);
	mutex_unlock(&chardev->lock);
	file->private_data = f;
	/* io_uring need not put a read off to a thread: it asks, and polls. */
	file->f_mode |= FMODE_NOWAIT;
	return stream_open(inode, file);
}

static int irqbed_chardev_release(struct inode *inode, struct file *file)
{
	struct irqbed_file *f = file->private_data;
	struct irqbed_chardev *chardev = f->chardev;

	mutex_lock(&chardev->lock);
	list_del(&f->node);
	if (f->queue) {
		irqbed_queue_detach(f->queue);
		list_del_init(&f->queue->ending);
	}
	mutex_unlock(&chardev->lock);
	if (f->queue)
		irqbed_queue_free(f->queue);
	kref_put(&chardev->kref, irqbed_chardev_free);
	kfree(f);
	return 0;
}

static int irqbed_attach(struct irqbed_file *f, struct irqbed_queue *queue)
{
	struct irqbed_chardev *chardev = f->chardev;
	int err = 0;

	mutex_lock(&chardev->lock);
	if (!chardev->queues) {
		err = -ENODEV;
	} else if (f->queue) {
		err = -EBUSY;
	} else {
		irqbed_queue_attach(queue, chardev->queues);
		/* A reader that finds the queue finds it complete. */
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
	if (err)
		irqbed_queue_free(queue);
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
	synchronize_rcu();
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
		/* Read before the queue is: the last event comes first. */
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
	struct irqbed_handle *handle = f->chardev->handle;
	struct irqbed_reply_request request;
	int err;

	if (len != sizeof(request))
		return irqbed_reply_done(-EINVAL);
	if (copy_from_user(&request, from, sizeof(request)))
		return irqbed_reply_done(-EFAULT);
	mutex_lock(&handle->lock);
	if (handle->idev)
		err = irqbed_reply(handle->idev, &request, entry);
	else
		err = -ENODEV;
	mutex_unlock(&handle->lock);
	return irqbed_reply_done(err);
}

static ssize_t irqbed_chardev_write(struct file *file, const char __user *from,
				    size_t len, loff_t *pos)
{
	u64 entry = rdtsc_ordered();

	return irqbed_take_reply(file->private_data, from, len, entry) ?: len;
}

static int irqbed_ioctl_reply(struct file *file, const void __user *arg)
{
	u64 entry = rdtsc_ordered();

	/* As a write() would be. */
	if (!(file->f_mode & FMODE_WRITE))
		return irqbed_reply_done(-EBADF);
	return irqbed_take_reply(file->private_data, arg,
				 sizeof(struct irqbed_reply_request), entry);
}

static long irqbed_chardev_ioctl(struct file *file, unsigned int command,
				 unsigned long arg)
{
	void __user *user = (void __user *)arg;

	switch (command) {
	case IRQBED_IOC_LISTEN:
		return irqbed_ioctl_listen(file->private_data, user);
	case IRQBED_IOC_STOP:
		return irqbed_ioctl_stop(file->private_data);
	case IRQBED_IOC_WAIT:
		return irqbed_ioctl_wait(file, user);
	case IRQBED_IOC_REPLY:
		return irqbed_ioctl_reply(file, user);
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
 * where the notifier signals: it is refused where it would have no effect. The kernel
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

static int irqbed_chardev_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct irqbed_file *f = file->private_data;
	struct irqbed_queue *queue = smp_load_acquire(&f->queue);
	unsigned long offset = IRQBED_QUEUE_MMAP_OFFSET >> PAGE_SHIFT;

	/* A private copy would look right and never change. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_pgoff < offset ||
	    vma->vm_pgoff >= IRQBED_DOORBELL_MMAP_OFFSET >> PAGE_SHIFT)
		return irqbed_handle_mmap(f->chardev->handle, vma);
	if (!queue)
		return -EINVAL;
	return irqbed_queue_mmap(queue, vma, vma->vm_pgoff - offset);
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

/* The device goes: no file reaches it from here on. */
static void irqbed_chardev_revoke(struct irqbed_chardev *chardev)
{
	struct irqbed_file *f;

	irqbed_handle_revoke(chardev->handle);
	mutex_lock(&chardev->lock);
	list_for_each_entry(f, &chardev->files, node)
		irqbed_bar_unmap(f->mapping);
	mutex_unlock(&chardev->lock);
}

/* Ends the wait of every process that waits for an event. */
static void irqbed_chardev_end_queues(struct irqbed_chardev *chardev)
{
	struct irqbed_queue *queue, *next;
	LIST_HEAD(ending);

	mutex_lock(&chardev->lock);
	list_for_each_entry_safe(queue, next, chardev->queues, node) {
		irqbed_queue_detach(queue);
		list_add_tail(&queue->ending, &ending);
	}
	chardev->queues = NULL;
	mutex_unlock(&chardev->lock);
	synchronize_rcu();
	/* A file that was closed meanwhile took its queue along. */
	mutex_lock(&chardev->lock);
	list_for_each_entry_safe(queue, next, &ending, ending) {
		list_del_init(&queue->ending);
		irqbed_queue_stop(queue);
	}
	mutex_unlock(&chardev->lock);
}

static void irqbed_chardev_unregister(void *data)
{
	struct irqbed_chardev *chardev = data;

	misc_deregister(&chardev->misc);
	irqbed_chardev_revoke(chardev);
	irqbed_chardev_end_queues(chardev);
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
	chardev->handle = irqbed_handle_new(idev);
	if (!chardev->handle) {
		kfree(chardev);
		return -ENOMEM;
	}
	idev->handle = chardev->handle;
	kref_init(&chardev->kref);
	mutex_init(&chardev->lock);
	chardev->queues = &idev->queues;
	INIT_LIST_HEAD(&chardev->files);
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
