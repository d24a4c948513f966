/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Differences between the kernels the driver builds for (6.1 to 7.x), each
 * under the name of the change it bridges. Nothing else asks for a version.
 */
#ifndef IRQBED_COMPAT_H
#define IRQBED_COMPAT_H

#include <linux/err.h>
#include <linux/interrupt.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/timer.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
/*
 * "PCI: Make pcim_iomap_region() a public function" and its sibling
 * pcim_request_region(): before 6.12 one asks for a mask of regions, and a
 * plain request is managed when the device was enabled by pcim_enable_device().
 */
static inline void __iomem *
irqbed_pcim_iomap_region(struct pci_dev *pdev, int bar, const char *name)
{
	int err = pcim_iomap_regions(pdev, BIT(bar), name);

	return err ? IOMEM_ERR_PTR(err) : pcim_iomap_table(pdev)[bar];
}

#define pcim_iomap_region irqbed_pcim_iomap_region
#define pcim_request_region pci_request_region
#endif

/*
 * "workqueue: Implement BH workqueues": before 6.9 a tasklet is what a driver
 * runs in a softirq. The names stand for the one that there is.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
#define irqbed_bh			tasklet_struct
#define irqbed_bh_init(bh, run)		tasklet_setup(bh, run)
#define irqbed_bh_schedule(bh)		tasklet_schedule(bh)
#define irqbed_bh_cancel(bh)		tasklet_kill(bh)
#else
#define irqbed_bh			work_struct
#define irqbed_bh_init(bh, run)		INIT_WORK(bh, run)
#define irqbed_bh_schedule(bh)		queue_work(system_bh_wq, bh)
#define irqbed_bh_cancel(bh)		cancel_work_sync(bh)
#endif

/* "PCI: Rename PCI_IRQ_LEGACY to PCI_IRQ_INTX": the new name is of 6.8. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define PCI_IRQ_INTX	PCI_IRQ_LEGACY
#endif

/* "eventfd: simplify eventfd_signal()": before 6.8 it takes a number to add. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define irqbed_eventfd_signal(ctx)	eventfd_signal(ctx, 1)
#else
#define irqbed_eventfd_signal(ctx)	eventfd_signal(ctx)
#endif

/* "timers: Rename del_timer_sync() to timer_delete_sync()": since 6.2. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define timer_delete_sync(timer)	del_timer_sync(timer)
#endif

/*
 * "workqueue: Add new WQ_PERCPU flag": since 6.18 a queue says whether its work
 * stays on the processor that asked for it, and 7.1 warns of one that does not.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0)
#define WQ_PERCPU			0
#endif

/*
 * "uio: replace deprecated mmap hook with mmap_prepare in uio_info": since 7.2
 * a mapping is described before it is made, and not filled by the driver. The
 * names stand for the description that there is.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 2, 0)
#define irqbed_uio_hook			mmap
#define irqbed_area			vm_area_struct
#define irqbed_area_pgoff(area)		((area)->vm_pgoff)
#define irqbed_area_pages(area)		vma_pages(area)
#define irqbed_area_shared(area)	((area)->vm_flags & VM_MAYSHARE)
#define irqbed_area_writable(area)	((area)->vm_flags & VM_WRITE)
#define irqbed_area_stay_read_only(area)	\
	irqbed_vm_flags_clear(area, VM_MAYWRITE)
#define irqbed_area_stay_as_it_is(area)		\
	irqbed_vm_flags_set(area, VM_DONTEXPAND | VM_DONTDUMP)
#define irqbed_area_is_io(area)			\
	irqbed_vm_flags_set(area, VM_IO | VM_PFNMAP)
#define irqbed_area_private(area)	((area)->vm_private_data)
#else
#define irqbed_uio_hook			mmap_prepare
#define irqbed_area			vm_area_desc
#define irqbed_area_pgoff(area)		((area)->pgoff)
#define irqbed_area_pages(area)		vma_desc_pages(area)
#define irqbed_area_shared(area)	vma_desc_test(area, VMA_MAYSHARE_BIT)
#define irqbed_area_writable(area)	vma_desc_test(area, VMA_WRITE_BIT)
#define irqbed_area_stay_read_only(area)	\
	vma_desc_clear_flags(area, VMA_MAYWRITE_BIT)
#define irqbed_area_stay_as_it_is(area)		\
	vma_desc_set_flags(area, VMA_DONTEXPAND_BIT, VMA_DONTDUMP_BIT)
#define irqbed_area_is_io(area)			\
	vma_desc_set_flags(area, VMA_IO_BIT, VMA_PFNMAP_BIT)
#define irqbed_area_private(area)	((area)->private_data)
#endif

/* "use less confusing names for iov_iter direction initializers": since 6.2. */
#ifndef ITER_DEST
#define ITER_DEST			READ
#endif

/* "mm: introduce vma->vm_flags wrapper functions": before 6.3 it is a field. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#define irqbed_vm_flags_clear(vma, flags)	((vma)->vm_flags &= ~(flags))
#define irqbed_vm_flags_set(vma, flags)		((vma)->vm_flags |= (flags))
#else
#define irqbed_vm_flags_set(vma, flags)		vm_flags_set(vma, flags)
#define irqbed_vm_flags_clear(vma, flags)	vm_flags_clear(vma, flags)
#endif

/*
 * "genetlink: Use internal flags for multicast groups": before 6.8, but for the
 * stable kernels that took it over, anybody may join a group.
 */
#ifndef GENL_MCAST_CAP_NET_ADMIN
#define irqbed_genl_group(group)	{ .name = (group) }
#else
#define irqbed_genl_group(group)				\
	{ .name = (group), .flags = GENL_MCAST_CAP_NET_ADMIN }
#endif

#endif /* IRQBED_COMPAT_H */
