// SPDX-License-Identifier: GPL-2.0
/*
 * A module that does what no driver should, for the tests of `irqbed test`: some faults at
 * its start, and others as the driver of an edu, whenever a device is bound to it. The
 * parameter can be written in between, so that one guest shows many.
 */
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/pm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#define EDU_IRQ_RAISE		0x60
#define EDU_DMA_SOURCE		0x80
#define EDU_DMA_DESTINATION	0x88
#define EDU_DMA_COUNT		0x90
#define EDU_DMA_COMMAND		0x98
#define EDU_BUFFER		0x40000

static char *fault = "none";
module_param(fault, charp, 0644);
MODULE_PARM_DESC(fault, "at the start: warn, oops, refuse, stay, hang, spin or leak; as a device is bound: busy, absent, mismatch, unhandled, dma, atomic, isr, freed, int3 or asleep; as the machine sleeps: suspend or resume; or none");

static void *lost;

struct faulty {
	void __iomem *regs;
	int *count;
};

static bool is_fault(const char *name)
{
	return sysfs_streq(fault, name);
}

static void spin(void)
{
	while (!READ_ONCE(lost))
		cpu_relax();
}

static inline void count_one(struct faulty *faulty)
{
	WRITE_ONCE(*faulty->count, 1);
}

static irqreturn_t faulty_irq(int irq, void *data)
{
	struct faulty *faulty = data;

	if (is_fault("isr"))
		count_one(faulty);
	return is_fault("unhandled") ? IRQ_NONE : IRQ_HANDLED;
}

static void faulty_raise(struct faulty *faulty)
{
	int i;

	for (i = 0; i < 5; i++) {
		iowrite32(1, faulty->regs + EDU_IRQ_RAISE);
		msleep(10);
	}
}

static void faulty_transfer(struct faulty *faulty, u32 address)
{
	iowrite32(address, faulty->regs + EDU_DMA_SOURCE);
	iowrite32(EDU_BUFFER, faulty->regs + EDU_DMA_DESTINATION);
	iowrite32(4, faulty->regs + EDU_DMA_COUNT);
	iowrite32(1, faulty->regs + EDU_DMA_COMMAND);
	msleep(300);
}

static void faulty_freed(void)
{
	int *memory = kmalloc(16, GFP_KERNEL);

	kfree(memory);
	WRITE_ONCE(*memory, 1);
}

static int faulty_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct faulty *faulty = devm_kzalloc(&pdev->dev, sizeof(*faulty), GFP_KERNEL);
	int ret;

	if (!faulty)
		return -ENOMEM;
	if (is_fault("busy"))
		return -EBUSY;
	if (is_fault("absent"))
		return -ENODEV;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	faulty->regs = pcim_iomap(pdev, 0, 0);
	if (!faulty->regs)
		return -ENOMEM;
	pci_set_master(pdev);
	ret = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI);
	if (ret < 0)
		return ret;
	ret = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, 0), faulty_irq, 0, "faulty",
			       faulty);
	if (ret)
		return ret;
	if (is_fault("mismatch")) {
		ret = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, 0), faulty_irq,
				       IRQF_SHARED, "faulty-too", faulty);
		return dev_err_probe(&pdev->dev, ret, "the interrupt is taken\n");
	}
	if (is_fault("unhandled") || is_fault("isr"))
		faulty_raise(faulty);
	if (is_fault("dma")) {
		/* Without pci_set_master(), and beyond the device's DMA mask. */
		pci_clear_master(pdev);
		faulty_transfer(faulty, 0x1000);
		pci_set_master(pdev);
		faulty_transfer(faulty, 0x70001000);
	}
	if (is_fault("freed"))
		faulty_freed();
	if (is_fault("int3"))
		asm volatile("int3");
	if (is_fault("atomic")) {
		preempt_disable();
		/* The kernel allows preemption again when it has said what it thinks of it. */
		msleep(1);
	}
	while (is_fault("asleep"))
		schedule_timeout_uninterruptible(HZ);
	return 0;
}

static const struct pci_device_id faulty_ids[] = { { PCI_DEVICE(0x1234, 0x11e8) }, {} };
MODULE_DEVICE_TABLE(pci, faulty_ids);

static struct pci_driver faulty_driver = {
	.name = "faulty",
	.id_table = faulty_ids,
	.probe = faulty_probe,
};

/* A device of no bus, so that a machine without an edu has one that fails to sleep. */
static int faulty_suspend(struct device *dev)
{
	return is_fault("suspend") ? -EBUSY : 0;
}

static int faulty_resume(struct device *dev)
{
	return is_fault("resume") ? -EIO : 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(faulty_pm_ops, faulty_suspend, faulty_resume);

static struct platform_driver faulty_sleeper = {
	.driver = {
		.name = KBUILD_MODNAME,
		.pm = pm_sleep_ptr(&faulty_pm_ops),
	},
};

static struct platform_device *device;

static int __init faulty_sleeper_register(void)
{
	int err;

	device = platform_device_register_simple(KBUILD_MODNAME, PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	err = platform_driver_register(&faulty_sleeper);
	if (err)
		platform_device_unregister(device);
	return err;
}

static void faulty_sleeper_unregister(void)
{
	platform_driver_unregister(&faulty_sleeper);
	platform_device_unregister(device);
}

static int __init faulty_init(void)
{
	int err;

	pr_info("fault=%s\n", fault);
	WARN(is_fault("warn"), "a warning that was asked for\n");
	if (is_fault("oops"))
		*(volatile int *)8 = 1;
	if (is_fault("refuse"))
		return -EINVAL;
	if (is_fault("stay"))
		__module_get(THIS_MODULE);
	if (is_fault("spin"))
		spin();
	if (is_fault("hang"))
		while (true)
			schedule_timeout_uninterruptible(MAX_SCHEDULE_TIMEOUT);
	if (is_fault("leak")) {
		lost = kmalloc(4321, GFP_KERNEL);
		WRITE_ONCE(lost, NULL);
	}
	err = faulty_sleeper_register();
	if (err)
		return err;
	err = pci_register_driver(&faulty_driver);
	if (err)
		faulty_sleeper_unregister();
	return err;
}
module_init(faulty_init);

static void __exit faulty_exit(void)
{
	pci_unregister_driver(&faulty_driver);
	faulty_sleeper_unregister();
}
module_exit(faulty_exit);

MODULE_DESCRIPTION("Does what no driver should");
MODULE_LICENSE("GPL");
