// SPDX-License-Identifier: GPL-2.0
/*
 * BARs that processes have mapped, and their end: when the device goes they are
 * unmapped, and an access raises SIGBUS. It does not reach whatever device has
 * that address next.
 *
 * So a mapping is empty at first. The first page fault in it maps all its pages,
 * if the device is still there. mmap() itself cannot do that:
 * unmap_mapping_range() finds a mapping only after mmap() has returned. All
 * pages are mapped at once, so that a process can take the fault before the
 * first event.
 *
 * In a file the instrument BAR is at offset 0, the doorbell at
 * IRQBED_DOORBELL_MMAP_OFFSET.
 */
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "irqbed.h"
#include "irqbed_handle.h"

#define IRQBED_DOORBELL_PAGE	(IRQBED_DOORBELL_MMAP_OFFSET >> PAGE_SHIFT)

struct irqbed_handle *irqbed_handle_new(struct irqbed_device *idev)
{
	struct irqbed_handle *handle = kzalloc(sizeof(*handle), GFP_KERNEL);

	if (!handle)
		return NULL;
	kref_init(&handle->kref);
	mutex_init(&handle->lock);
	handle->idev = idev;
	return handle;
}

struct irqbed_handle *irqbed_handle_get(struct irqbed_handle *handle)
{
	kref_get(&handle->kref);
	return handle;
}

static void irqbed_handle_free(struct kref *kref)
{
	struct irqbed_handle *handle =
		container_of(kref, struct irqbed_handle, kref);

	mutex_destroy(&handle->lock);
	kfree(handle);
}

void irqbed_handle_put(struct irqbed_handle *handle)
{
	kref_put(&handle->kref, irqbed_handle_free);
}

/* The BAR that is at @page of a file, and which page of it that is. */
static int irqbed_bar_at(unsigned long *page)
{
	if (*page < IRQBED_DOORBELL_PAGE)
		return IRQBED_INSTRUMENT_BAR;
	*page -= IRQBED_DOORBELL_PAGE;
	return IRQBED_DOORBELL_BAR;
}

/* The pages of a BAR that there are from @page of a file on. */
unsigned long irqbed_bar_pages(const struct irqbed_device *idev,
			       unsigned long page)
{
	int bar = irqbed_bar_at(&page);
	unsigned long pages = pci_resource_len(idev->pdev, bar) >> PAGE_SHIFT;

	return page < pages ? pages - page : 0;
}

/* Maps all pages of a mapping, which were checked when it was made. */
vm_fault_t irqbed_bar_insert(const struct irqbed_device *idev,
			     struct vm_area_struct *vma)
{
	unsigned long page = vma->vm_pgoff;
	int bar = irqbed_bar_at(&page);
	unsigned long pfn =
		(pci_resource_start(idev->pdev, bar) >> PAGE_SHIFT) + page;
	unsigned long address;
	vm_fault_t ret;

	for (address = vma->vm_start; address < vma->vm_end;
	     address += PAGE_SIZE) {
		ret = vmf_insert_pfn(vma, address, pfn++);
		if (ret != VM_FAULT_NOPAGE)
			return ret;
	}
	return VM_FAULT_NOPAGE;
}

/* Unmaps the BARs wherever they are mapped by a file of this mapping. */
void irqbed_bar_unmap(struct address_space *mapping)
{
	unmap_mapping_range(mapping, 0, IRQBED_QUEUE_MMAP_OFFSET, 1);
	unmap_mapping_range(mapping, IRQBED_DOORBELL_MMAP_OFFSET,
			    IRQBED_DOORBELL_BAR_SIZE, 1);
}

static vm_fault_t irqbed_handle_fault(struct vm_fault *vmf)
{
	struct irqbed_handle *handle = vmf->vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;

	mutex_lock(&handle->lock);
	if (handle->idev)
		ret = irqbed_bar_insert(handle->idev, vmf->vma);
	mutex_unlock(&handle->lock);
	return ret;
}

static void irqbed_handle_vma_open(struct vm_area_struct *vma)
{
	irqbed_handle_get(vma->vm_private_data);
}

static void irqbed_handle_vma_close(struct vm_area_struct *vma)
{
	irqbed_handle_put(vma->vm_private_data);
}

static const struct vm_operations_struct irqbed_handle_vm_ops = {
	.open = irqbed_handle_vma_open,
	.close = irqbed_handle_vma_close,
	.fault = irqbed_handle_fault,
};

/*
 * Has a process map a BAR, or a part of it. It is cached like the driver's own
 * mapping (see irqbed_map_instrument()), but for the doorbell: every store to it
 * traps, and none may be held back.
 */
int irqbed_handle_mmap(struct irqbed_handle *handle,
		       struct vm_area_struct *vma)
{
	int err = 0;

	mutex_lock(&handle->lock);
	if (!handle->idev)
		err = -ENODEV;
	else if (vma_pages(vma) >
		 irqbed_bar_pages(handle->idev, vma->vm_pgoff))
		err = -EINVAL;
	mutex_unlock(&handle->lock);
	if (err)
		return err;
	if (vma->vm_pgoff >= IRQBED_DOORBELL_PAGE)
		vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	/* Memory of a device: not expanded, not dumped, no struct page. */
	irqbed_vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND |
				 VM_DONTDUMP);
	vma->vm_private_data = irqbed_handle_get(handle);
	vma->vm_ops = &irqbed_handle_vm_ops;
	return 0;
}

/*
 * The device goes: when this returns the handle is not in use, and no more pages
 * will be mapped. The caller unmaps those that are.
 */
void irqbed_handle_revoke(struct irqbed_handle *handle)
{
	mutex_lock(&handle->lock);
	handle->idev = NULL;
	mutex_unlock(&handle->lock);
}
