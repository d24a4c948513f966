// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of the rings: allocated before the first event, so that the path
 * of an event (irqbed_ring.c) never asks for any, and told to the device.
 */
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/pci.h>

#include "irqbed.h"

static void irqbed_free_rings(void *data)
{
	struct irqbed_device *idev = data;
	u32 v;

	for (v = 0; v < idev->nr_rings; v++)
		kvfree(idev->rings[v].entry);
	kvfree(idev->rings);
}

int irqbed_alloc_rings(struct irqbed_device *idev)
{
	struct device *dev = &idev->pdev->dev;
	struct irqbed_ring *ring;
	u32 v;
	int err;

	/* Whole pages, because rings are aligned to cache lines. */
	idev->rings = kvzalloc(PAGE_ALIGN(idev->nr_rings * sizeof(*ring)),
			       GFP_KERNEL);
	if (!idev->rings)
		return -ENOMEM;
	err = devm_add_action_or_reset(dev, irqbed_free_rings, idev);
	if (err)
		return err;

	for (v = 0; v < idev->nr_rings; v++) {
		ring = &idev->rings[v];
		ring->idev = idev;
		ring->vector = v;
		ring->entries = irqbed_ring_entries;
		ring->payload_area = irqbed_payload_area;
		ring->max_payload = idev->max_payload;
		ring->slots = idev->slots;
		ring->trace = idev->instrument + IRQBED_SLOT_BASE;
		ring->consumer_shared = idev->instrument +
			IRQBED_CONSUMER_BASE + v * IRQBED_CONSUMER_STRIDE;
		ring->records =
			dmam_alloc_coherent(dev,
					    ring->entries * sizeof(*ring->records),
					    &ring->records_dma, GFP_KERNEL);
		ring->payloads = dmam_alloc_coherent(dev, ring->payload_area,
						     &ring->payloads_dma,
						     GFP_KERNEL);
		if (irqbed_context->deferred)
			ring->entry = kvcalloc(ring->entries,
					       sizeof(*ring->entry),
					       GFP_KERNEL);
		if (!ring->records || !ring->payloads ||
		    (irqbed_context->deferred && !ring->entry))
			return dev_err_probe(dev, -ENOMEM,
					     "no memory for ring %u of %u; load with less vectors, ring_entries (%u) or payload_area (%u)\n",
					     v, idev->nr_rings, ring->entries,
					     ring->payload_area);
	}
	return 0;
}

static int irqbed_arm_ring(struct irqbed_device *idev,
			   const struct irqbed_ring *ring)
{
	void __iomem *regs = idev->regs + IRQBED_REG_RING_BASE +
			     ring->vector * IRQBED_REG_RING_STRIDE;

	/* The device starts at 0 and so do we. */
	WRITE_ONCE(*ring->consumer_shared, ring->consumer);
	writel(lower_32_bits(ring->records_dma), regs + IRQBED_RING_RECORDS_LO);
	writel(upper_32_bits(ring->records_dma), regs + IRQBED_RING_RECORDS_HI);
	writel(lower_32_bits(ring->payloads_dma), regs + IRQBED_RING_PAYLOAD_LO);
	writel(upper_32_bits(ring->payloads_dma), regs + IRQBED_RING_PAYLOAD_HI);
	writel(ring->entries, regs + IRQBED_RING_ENTRIES);
	writel(ring->payload_area, regs + IRQBED_RING_PAYLOAD_SIZE);
	writel(1, regs + IRQBED_RING_ARM);
	if (readl(regs + IRQBED_RING_ARM) != 1)
		return dev_err_probe(&idev->pdev->dev, -EIO,
				     "the device refused ring %u: %u records at %pad, %u bytes of payloads at %pad\n",
				     ring->vector, ring->entries,
				     &ring->records_dma, ring->payload_area,
				     &ring->payloads_dma);
	return 0;
}

/* Tells the device where its rings are; it may use none before it is enabled. */
int irqbed_arm_rings(struct irqbed_device *idev)
{
	u32 v;
	int err;

	for (v = 0; v < idev->nr_rings; v++) {
		err = irqbed_arm_ring(idev, &idev->rings[v]);
		if (err)
			return err;
	}
	return 0;
}
