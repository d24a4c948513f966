// SPDX-License-Identifier: GPL-2.0
/*
 * Takes all the memory that there is for mappings of a device, where they are copied through a
 * pool (swiotlb=force), but for so many.
 */
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/module.h>
#include <linux/pci.h>

static char *device = "";
module_param(device, charp, 0444);
MODULE_PARM_DESC(device, "Address of the device, 0000:00:01.0");

static uint leave;
module_param(leave, uint, 0444);
MODULE_PARM_DESC(leave, "Mappings of at most 2 KiB that there is room for afterwards");

/* More than a pool has. */
static dma_addr_t taken[1 << 16];
static unsigned int count;
static struct device *owner;
static void *page;

static void give_back(unsigned int keep)
{
	while (count > keep)
		dma_unmap_single(owner, taken[--count], 64, DMA_TO_DEVICE);
}

static int __init hog_init(void)
{
	owner = bus_find_device_by_name(&pci_bus_type, NULL, device);
	page = owner ? (void *)get_zeroed_page(GFP_KERNEL) : NULL;
	if (!page) {
		put_device(owner);
		return owner ? -ENOMEM : -ENODEV;
	}
	for (; count < ARRAY_SIZE(taken); count++) {
		taken[count] = dma_map_single(owner, page, 64, DMA_TO_DEVICE);
		if (dma_mapping_error(owner, taken[count]))
			break;
	}
	give_back(count > leave ? count - leave : 0);
	return 0;
}
module_init(hog_init);

static void __exit hog_exit(void)
{
	give_back(0);
	free_page((unsigned long)page);
	put_device(owner);
}
module_exit(hog_exit);

MODULE_DESCRIPTION("Takes the memory for mappings of a device");
MODULE_LICENSE("GPL");
