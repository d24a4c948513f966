// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of the rings: allocated before the first event, so that the path
 * of an event (irqbed_ring.c) never allocates any, and given to the device.
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
	struct irqbed_consumer *consumer;
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
		ring->trace = idev->instrument + IRQBED_SLOT_BASE;
		consumer = &ring->consumer;
		consumer->mask = irqbed_ring_entries - 1;
		consumer->payload_area = irqbed_payload_area;
		consumer->max_payload = idev->max_payload;
		consumer->slots = idev->slots;
		consumer->shared = idev->instrument +
			IRQBED_CONSUMER_BASE + v * IRQBED_CONSUMER_STRIDE;
		consumer->records =
			dmam_alloc_coherent(dev,
					    irqbed_entries(consumer) *
						    sizeof(*consumer->records),
					    &ring->records_dma, GFP_KERNEL);
		ring->payloads = dmam_alloc_coherent(dev, consumer->payload_area,
						     &ring->payloads_dma,
						     GFP_KERNEL);
		if (irqbed_context->deferred)
			ring->entry = kvcalloc(irqbed_entries(consumer),
					       sizeof(*ring->entry),
					       GFP_KERNEL);
		if (!consumer->records || !ring->payloads ||
		    (irqbed_context->deferred && !ring->entry))
			return dev_err_probe(dev, -ENOMEM,
					     "no memory for ring %u of %u; load with less vectors, ring_entries (%u) or payload_area (%u)\n",
					     v, idev->nr_rings,
					     irqbed_entries(consumer),
					     consumer->payload_area);
	}
	return 0;
}

static void __iomem *irqbed_ring_regs(const struct irqbed_ring *ring)
{
	return ring->idev->regs + IRQBED_REG_RING_BASE +
	       ring->vector * IRQBED_REG_RING_STRIDE;
}

/* The number of the next record, by what the device says. */
u32 irqbed_ring_device_next(const struct irqbed_ring *ring)
{
	return readl(irqbed_ring_regs(ring) + IRQBED_RING_NEXT);
}

/*
 * When this returns, the device writes nothing more to the ring. The write may
 * be posted; reading back brings it home.
 */
void irqbed_stop_ring(struct irqbed_ring *ring)
{
	void __iomem *arm = irqbed_ring_regs(ring) + IRQBED_RING_ARM;

	writel(0, arm);
	readl(arm);
}

/* Tells the device where an empty ring is. Nobody drains it meanwhile. */
int irqbed_arm_ring(struct irqbed_ring *ring)
{
	void __iomem *regs = irqbed_ring_regs(ring);
	struct irqbed_consumer *consumer = &ring->consumer;

	writel(lower_32_bits(ring->records_dma), regs + IRQBED_RING_RECORDS_LO);
	writel(upper_32_bits(ring->records_dma), regs + IRQBED_RING_RECORDS_HI);
	writel(lower_32_bits(ring->payloads_dma), regs + IRQBED_RING_PAYLOAD_LO);
	writel(upper_32_bits(ring->payloads_dma), regs + IRQBED_RING_PAYLOAD_HI);
	writel(irqbed_entries(consumer), regs + IRQBED_RING_ENTRIES);
	writel(consumer->payload_area, regs + IRQBED_RING_PAYLOAD_SIZE);
	writel(irqbed_consumer_rearm(consumer), regs + IRQBED_RING_NEXT);
	writel(1, regs + IRQBED_RING_ARM);
	if (readl(regs + IRQBED_RING_ARM) != 1)
		return dev_err_probe(&ring->idev->pdev->dev, -EIO,
				     "the device refused ring %u: %u records at %pad, %u bytes of payloads at %pad\n",
				     ring->vector, irqbed_entries(consumer),
				     &ring->records_dma, consumer->payload_area,
				     &ring->payloads_dma);
	return 0;
}

/* Tells the device where its rings are; it may use none before it is enabled. */
int irqbed_arm_rings(struct irqbed_device *idev)
{
	u32 v;
	int err;

	for (v = 0; v < idev->nr_rings; v++) {
		err = irqbed_arm_ring(&idev->rings[v]);
		if (err)
			return err;
	}
	return 0;
}
