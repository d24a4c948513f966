// SPDX-License-Identifier: GPL-2.0
/*
 * What the driver tells the device by its registers: to reset, where its rings
 * are, and to raise events.
 */
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/pci.h>

#include "irqbed.h"

/*
 * Stops the device for good: when this returns, it raises nothing and does no
 * DMA until it is enabled again. The write may be posted; reading back brings
 * it home.
 */
int irqbed_reset(struct irqbed_device *idev)
{
	void __iomem *ctrl = idev->regs + IRQBED_REG_CTRL;
	u32 value;
	int err;

	writel(IRQBED_CTRL_RESET, ctrl);
	err = readl_poll_timeout(ctrl, value,
				 PCI_POSSIBLE_ERROR(value) ||
				 !(value & IRQBED_CTRL_RESET),
				 100, 100 * USEC_PER_MSEC);
	if (!err && PCI_POSSIBLE_ERROR(value))
		err = -ENODEV;
	return err;
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
static int irqbed_arm_rings(struct irqbed_device *idev)
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

/* Tells a device that was reset its rings, and lets it raise events. */
int irqbed_enable(struct irqbed_device *idev)
{
	u32 status;
	int err;

	err = irqbed_arm_rings(idev);
	if (err)
		return err;
	writel(IRQBED_CTRL_ENABLE, idev->regs + IRQBED_REG_CTRL);
	status = readl(idev->regs + IRQBED_REG_STATUS);
	if (PCI_POSSIBLE_ERROR(status) || !(status & IRQBED_STATUS_READY))
		return dev_err_probe(&idev->pdev->dev, -EIO,
				     "the device is not ready after enabling it: status %#x\n",
				     status);
	return 0;
}
