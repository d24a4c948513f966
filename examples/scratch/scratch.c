// SPDX-License-Identifier: GPL-2.0
/*
 * A first driver for the event device: knows it by its magic number, and gives
 * its scratch register to userspace as the attribute "scratch" of the device. The
 * register keeps its value while the machine sleeps.
 */
#include <linux/io.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pm.h>

#define SCRATCH_BAR	0
#define REG_MAGIC	0x00
#define REG_SCRATCH	0x1c
#define MAGIC		0x42515249

struct scratch {
	void __iomem *regs;
	u32 saved;
};

static ssize_t scratch_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	struct scratch *scratch = dev_get_drvdata(dev);

	return sysfs_emit(buf, "0x%08x\n", readl(scratch->regs + REG_SCRATCH));
}

static ssize_t scratch_store(struct device *dev, struct device_attribute *attr,
			     const char *buf, size_t count)
{
	struct scratch *scratch = dev_get_drvdata(dev);
	u32 value;
	int ret;

	ret = kstrtou32(buf, 0, &value);
	if (ret)
		return ret;
	writel(value, scratch->regs + REG_SCRATCH);
	return count;
}

static DEVICE_ATTR_RW(scratch);

static struct attribute *scratch_attrs[] = {
	&dev_attr_scratch.attr,
	NULL
};
ATTRIBUTE_GROUPS(scratch);

static int scratch_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct scratch *scratch;
	u32 magic;
	int ret;

	scratch = devm_kzalloc(&pdev->dev, sizeof(*scratch), GFP_KERNEL);
	if (!scratch)
		return -ENOMEM;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	scratch->regs = pcim_iomap(pdev, SCRATCH_BAR, 0);
	if (!scratch->regs)
		return -ENOMEM;
	magic = readl(scratch->regs + REG_MAGIC);
	if (magic != MAGIC)
		return dev_err_probe(&pdev->dev, -ENODEV,
				     "magic is 0x%08x, not 0x%08x\n", magic, MAGIC);
	pci_set_drvdata(pdev, scratch);
	pci_info(pdev, "the event device is there\n");
	return 0;
}

/* A device that slept may have been without power. */
static int scratch_suspend(struct device *dev)
{
	struct scratch *scratch = dev_get_drvdata(dev);

	scratch->saved = readl(scratch->regs + REG_SCRATCH);
	return 0;
}

static int scratch_resume(struct device *dev)
{
	struct scratch *scratch = dev_get_drvdata(dev);

	writel(scratch->saved, scratch->regs + REG_SCRATCH);
	return 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(scratch_pm, scratch_suspend, scratch_resume);

static const struct pci_device_id scratch_ids[] = {
	{ PCI_DEVICE(0x1bed, 0x1001) },
	{ }
};
MODULE_DEVICE_TABLE(pci, scratch_ids);

static struct pci_driver scratch_driver = {
	.name = "scratch",
	.id_table = scratch_ids,
	.probe = scratch_probe,
	.dev_groups = scratch_groups,
	.driver.pm = pm_sleep_ptr(&scratch_pm),
};
module_pci_driver(scratch_driver);

MODULE_DESCRIPTION("A first driver for the event device of irqbed");
MODULE_LICENSE("GPL");
