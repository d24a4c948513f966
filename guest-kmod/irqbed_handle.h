/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A reference to a device that may be removed before its users are done: open
 * files, and processes that have its BARs mapped.
 */
#ifndef IRQBED_HANDLE_H
#define IRQBED_HANDLE_H

#include <linux/kref.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>

struct address_space;
struct irqbed_device;
struct vm_area_struct;

struct irqbed_handle {
	struct kref kref;
	/*
	 * Guards @idev, and keeps the device while it is used by it: for a
	 * reply, or while pages are mapped. Taken in process context, also
	 * under the mmap lock of a process: so nothing under it sleeps for
	 * long, or accesses the memory of a process.
	 */
	struct mutex lock;
	/* NULL once the device is gone. */
	struct irqbed_device *idev;
};

struct irqbed_handle *irqbed_handle_new(struct irqbed_device *idev);
struct irqbed_handle *irqbed_handle_get(struct irqbed_handle *handle);
void irqbed_handle_put(struct irqbed_handle *handle);
int irqbed_handle_mmap(struct irqbed_handle *handle,
		       struct vm_area_struct *vma);
void irqbed_handle_revoke(struct irqbed_handle *handle);

unsigned long irqbed_bar_pages(const struct irqbed_device *idev,
			       unsigned long page);
vm_fault_t irqbed_bar_insert(const struct irqbed_device *idev,
			     struct vm_area_struct *vma);
void irqbed_bar_unmap(struct address_space *mapping);

#endif /* IRQBED_HANDLE_H */
