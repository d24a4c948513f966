// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of the rings, as the parameters say it: allocated before the first
 * event, so that the path of an event (irqbed_ring.c) never allocates any.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dma-mapping.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/pci.h>

#include "irqbed.h"

static unsigned int irqbed_ring_entries = 1024;
module_param_named(ring_entries, irqbed_ring_entries, uint, 0444);
MODULE_PARM_DESC(ring_entries,
		 "Records in a ring, a power of two from 2 to 65536 (default 1024)");

static unsigned int irqbed_payload_area = 256 << 10;
module_param_named(payload_area, irqbed_payload_area, uint, 0444);
MODULE_PARM_DESC(payload_area,
		 "Payload area of a ring, bytes, a multiple of 64 from 8192 to 16777216 (default 262144)");

/* Before any device is probed. */
int irqbed_rings_check_parameters(void)
{
	if (!is_power_of_2(irqbed_ring_entries) ||
	    irqbed_ring_entries < IRQBED_MIN_ENTRIES ||
	    irqbed_ring_entries > IRQBED_MAX_ENTRIES) {
		pr_err("ring_entries=%u is not a power of two from %u to %u\n",
		       irqbed_ring_entries, IRQBED_MIN_ENTRIES,
		       IRQBED_MAX_ENTRIES);
		return -EINVAL;
	}
	if (irqbed_payload_area % IRQBED_PAYLOAD_ALIGN ||
	    irqbed_payload_area < IRQBED_MIN_PAYLOAD_AREA ||
	    irqbed_payload_area > IRQBED_MAX_PAYLOAD_AREA) {
		pr_err("payload_area=%u is not a multiple of %u from %u to %u\n",
		       irqbed_payload_area, IRQBED_PAYLOAD_ALIGN,
		       IRQBED_MIN_PAYLOAD_AREA, IRQBED_MAX_PAYLOAD_AREA);
		return -EINVAL;
	}
	return 0;
}

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
