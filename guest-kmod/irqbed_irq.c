// SPDX-License-Identifier: GPL-2.0
/*
 * The interrupts of a device, and the table of their types. Best is a vector
 * for each ring, whose handler (irqbed_context.c) gets its ring and need not
 * ask. Where there are not enough, one interrupt is for all rings: INTx is a
 * single line, and without interrupt remapping x86 gives a device one vector of
 * MSI.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitmap.h>
#include <linux/cache.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/moduleparam.h>
#include <linux/pci.h>
#include <linux/printk.h>
#include <linux/string.h>

#include <asm/tsc.h>

#include "irqbed.h"
#include "irqbed_notifier.h"

struct irqbed_irq_type {
	/* As the module parameter says it, and for messages. */
	const char *name;
	const char *title;
	/* For pci_alloc_irq_vectors(). */
	unsigned int kind;
	/* For one interrupt that is for all rings; NULL where there is none. */
	irq_handler_t shared;
	/* A line: never a ring's own, and other devices may be on it. */
	bool line;
};

/*
 * An interrupt that announces records of some of the rings. It is counted at
 * the first ring; never runs twice at a time.
 */
static irqreturn_t irqbed_enter_rings(struct irqbed_device *idev,
				      unsigned long rings, u64 entry)
{
	struct irqbed_ring_counters *counters = &idev->rings->counters;
	bool found = false;
	u32 v;

	counters->interrupts++;
	for_each_set_bit(v, &rings, idev->nr_rings) {
		/* The events of another ring may have been raised since. */
		if (found)
			entry = rdtsc_ordered();
		found |= irqbed_context->share(&idev->rings[v], entry);
	}
	if (!found) {
		irqbed_spurious(idev->rings);
		return IRQ_HANDLED;
	}
	return irqbed_context->thread ? IRQ_WAKE_THREAD : IRQ_HANDLED;
}

/* The one vector of MSI does not say whose it is: all rings are checked. */
static irqreturn_t irqbed_msi(int irq, void *data)
{
	u64 entry = rdtsc_ordered();

	return irqbed_enter_rings(data, irqbed_rings_ready(data), entry);
}

/*
 * The line stays asserted until we acknowledge what the status says, whatever
 * the context: the drain may be put off, the acknowledge may not, or the
 * interrupt would come again at once.
 *
 * The acknowledge comes first, then the drain. A record is in its ring before
 * its bit is set, so those whose bits we clear are found, and one that is
 * written later sets its bit again, which is an interrupt of its own. That
 * holds from the moment the write has reached the device. It may be posted, and
 * a record written meanwhile would have its bit cleared without having been
 * seen: so the status is read back before any ring is read. The same read
 * brings the line down before the interrupt controller samples it again.
 */
static irqreturn_t irqbed_intx(int irq, void *data)
{
	u64 entry = rdtsc_ordered();
	struct irqbed_device *idev = data;
	void __iomem *status = idev->regs + IRQBED_REG_IRQ_STATUS;
	u32 rings;

	/* Our device does not assert the line now, see irqbed_ring_quiesce(). */
	if (READ_ONCE(idev->held))
		return IRQ_NONE;
	rings = readl(status);
	/* Another device on the line. */
	if (!rings)
		return IRQ_NONE;
	writel(rings, status);
	/*
	 * All ones are read from a device that is gone, or whose answers are
	 * lost. That one still hears, and must not assert the line for ever;
	 * whether it did, its rings know.
	 */
	if (PCI_POSSIBLE_ERROR(readl(status)) && PCI_POSSIBLE_ERROR(rings)) {
		rings = irqbed_rings_ready(idev);
		if (!rings)
			return IRQ_NONE;
	}
	return irqbed_enter_rings(idev, rings, entry);
}

/* The thread of an interrupt that is for all rings. */
static irqreturn_t irqbed_rings_thread(int irq, void *data)
{
	struct irqbed_device *idev = data;
	u32 v;

	for (v = 0; v < idev->nr_rings; v++)
		irqbed_ring_drain_deferred(&idev->rings[v]);
	return IRQ_HANDLED;
}

static const struct irqbed_irq_type irqbed_irq_types[] = {
	{
		.name = "msix",
		.title = "MSI-X",
		.kind = PCI_IRQ_MSIX,
	}, {
		.name = "msi",
		.title = "MSI",
		.kind = PCI_IRQ_MSI,
		.shared = irqbed_msi,
	}, {
		.name = "intx",
		.title = "INTx",
		.kind = PCI_IRQ_INTX,
		.shared = irqbed_intx,
		.line = true,
	},
};

static const struct irqbed_irq_type *irqbed_irq_type __ro_after_init;

static unsigned int irqbed_vectors = IRQBED_VECTORS;
module_param_named(vectors, irqbed_vectors, uint, 0444);
MODULE_PARM_DESC(vectors,
		 "Most rings to use, each with a vector of its own where there are enough (default 32)");

int irqbed_irq_select(const char *name)
{
	char known[64] = "";
	size_t i, len = 0;

	if (!irqbed_vectors || irqbed_vectors > IRQBED_VECTORS) {
		pr_err("vectors=%u is not a number from 1 to %u\n",
		       irqbed_vectors, IRQBED_VECTORS);
		return -EINVAL;
	}
	for (i = 0; i < ARRAY_SIZE(irqbed_irq_types); i++) {
		if (!strcmp(name, irqbed_irq_types[i].name)) {
			irqbed_irq_type = &irqbed_irq_types[i];
			return 0;
		}
		len += scnprintf(known + len, sizeof(known) - len, "%s%s",
				 i ? ", " : "", irqbed_irq_types[i].name);
	}
	pr_err("there is no interrupt type '%s'; load with irq= one of: %s\n",
	       name, known);
	return -EINVAL;
}

const char *irqbed_irq_title(void)
{
	return irqbed_irq_type->title;
}

static void irqbed_free_vectors(void *pdev)
{
	pci_free_irq_vectors(pdev);
}

/*
 * As many rings as are wanted, where they can share; else one per vector. Newer
 * kernels do not free the vectors of a managed device by themselves.
 */
int irqbed_alloc_vectors(struct irqbed_device *idev)
{
	const struct irqbed_irq_type *type = irqbed_irq_type;
	u32 wanted = min(irqbed_vectors, idev->vectors);
	int nr;

	nr = pci_alloc_irq_vectors(idev->pdev, type->shared ? wanted : 1,
				   wanted, type->kind);
	if (nr < 0 && type->shared)
		nr = pci_alloc_irq_vectors(idev->pdev, 1, 1, type->kind);
	if (nr < 0)
		return dev_err_probe(&idev->pdev->dev, nr,
				     "no interrupts by %s: the device has none or the kernel gives none; load with another irq=\n",
				     type->title);
	idev->nr_irqs = nr;
	idev->nr_rings = type->shared ? wanted : nr;
	return devm_add_action_or_reset(&idev->pdev->dev, irqbed_free_vectors,
					idev->pdev);
}

/* Whether one interrupt is for all rings. */
static bool irqbed_irq_is_shared(const struct irqbed_device *idev)
{
	return irqbed_irq_type->line || idev->nr_irqs < idev->nr_rings;
}

static int irqbed_ring_irq(const struct irqbed_ring *ring)
{
	const struct irqbed_device *idev = ring->idev;

	return pci_irq_vector(idev->pdev,
			      irqbed_irq_is_shared(idev) ? 0 : ring->vector);
}

/*
 * When this returns nobody drains the ring until it is released; what was put
 * off is forgotten, so the caller drains it. An interrupt that comes meanwhile
 * is kept. In process context, under the watchdog's lock.
 *
 * A line is shared, so it is masked at the device and not disabled: the device
 * asserts it again when it is unmasked, if its status says so. The handler still
 * runs for the other devices, so it checks.
 */
void irqbed_ring_quiesce(struct irqbed_ring *ring)
{
	struct irqbed_device *idev = ring->idev;
	int irq = irqbed_ring_irq(ring);

	if (!irqbed_irq_type->line) {
		disable_irq(irq);
	} else if (!idev->held) {
		WRITE_ONCE(idev->held, 1);
		pci_intx(idev->pdev, false);
		synchronize_irq(irq);
	} else {
		WRITE_ONCE(idev->held, idev->held + 1);
	}
	if (irqbed_context->cancel)
		irqbed_context->cancel(ring);
}

void irqbed_ring_resume(struct irqbed_ring *ring)
{
	struct irqbed_device *idev = ring->idev;

	if (!irqbed_irq_type->line) {
		enable_irq(irqbed_ring_irq(ring));
	} else {
		WRITE_ONCE(idev->held, idev->held - 1);
		if (!idev->held)
			pci_intx(idev->pdev, true);
	}
}

/* Interrupts are free: what they had put off is done or will never be. */
static void irqbed_cancel(void *data)
{
	struct irqbed_device *idev = data;
	u32 v;

	for (v = 0; v < idev->nr_rings; v++)
		irqbed_context->cancel(&idev->rings[v]);
}

static int irqbed_prepare_context(struct irqbed_device *idev)
{
	u32 v;

	if (!irqbed_context->prepare)
		return 0;
	for (v = 0; v < idev->nr_rings; v++)
		irqbed_context->prepare(&idev->rings[v]);
	return devm_add_action_or_reset(&idev->pdev->dev, irqbed_cancel, idev);
}

/* Whether the kernel runs the handler that was given to it in a thread. */
static bool irqbed_is_forced(unsigned int irq, bool threaded, const void *data)
{
	const struct irq_desc *desc = irq_data_to_desc(irq_get_irq_data(irq));
	const struct irqaction *action = desc->action;

	/* Ours is in the list until it is freed; others are on a line only. */
	while (action && action->dev_id != data)
		action = action->next;
	return action && (threaded ? !!action->secondary : !!action->thread);
}

/* For whoever reads the stamps: said in the module parameter 'forced_thread'. */
static bool irqbed_forced_thread;

static int irqbed_refuse_write(const char *value, const struct kernel_param *param)
{
	return -EPERM;
}

static const struct kernel_param_ops irqbed_read_only_bool = {
	.set = irqbed_refuse_write,
	.get = param_get_bool,
};

module_param_cb(forced_thread, &irqbed_read_only_bool, &irqbed_forced_thread, 0444);
__MODULE_PARM_TYPE(forced_thread, "bool");
MODULE_PARM_DESC(forced_thread,
		 "Read only: whether the kernel runs the interrupt handler in a thread, as PREEMPT_RT does with context=hardirq where a notifier's locks may sleep");

static int irqbed_request(struct irqbed_device *idev, u32 nr,
			  irq_handler_t handler, irq_handler_t thread,
			  void *data)
{
	/*
	 * IRQF_NO_THREAD: the command line's 'threadirqs' must not move what
	 * is measured. A handler that calls the notifier must let PREEMPT_RT do
	 * so, where the notifier's locks sleep; and a lockdep that checks for
	 * PREEMPT_RT on other kernels goes by the same flag. A handler that puts
	 * the drain off takes raw locks alone. On a line all handlers are forced
	 * into threads or none is: there the others decide.
	 */
	bool sleeps = IS_ENABLED(CONFIG_PREEMPT_RT) ||
		      IS_ENABLED(CONFIG_PROVE_RAW_LOCK_NESTING);
	bool may_be_forced = irqbed_irq_type->line ||
			     (sleeps && !irqbed_context->deferred &&
			      !irqbed_notifier->raw);
	unsigned long flags = may_be_forced ? 0 : IRQF_NO_THREAD;
	struct device *dev = &idev->pdev->dev;
	const char *name;
	int irq, err;

	if (irqbed_irq_type->line)
		flags |= IRQF_SHARED;
	name = devm_kasprintf(dev, GFP_KERNEL, "irqbed%d-%u", idev->id, nr);
	if (!name)
		return -ENOMEM;
	irq = pci_irq_vector(idev->pdev, nr);
	err = devm_request_threaded_irq(dev, irq, handler, thread, flags, name,
					data);
	if (err)
		return dev_err_probe(dev, err,
				     "cannot take the interrupt of vector %u\n",
				     nr);
	irqbed_forced_thread = irqbed_is_forced(irq, thread, data);
	return 0;
}

int irqbed_request_irqs(struct irqbed_device *idev)
{
	u32 v;
	int err;

	err = irqbed_prepare_context(idev);
	if (err)
		return err;
	if (irqbed_irq_is_shared(idev))
		return irqbed_request(idev, 0, irqbed_irq_type->shared,
				      irqbed_context->thread ?
					      irqbed_rings_thread : NULL,
				      idev);
	for (v = 0; v < idev->nr_rings; v++) {
		err = irqbed_request(idev, v, irqbed_context->handler,
				     irqbed_context->thread, &idev->rings[v]);
		if (err)
			return err;
	}
	return 0;
}
