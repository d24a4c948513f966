// SPDX-License-Identifier: GPL-2.0
/*
 * Looks after a device that may do wrong, away from the path of an event: soon
 * after an interrupt that found nothing, before a flush, where a record waits
 * that nobody takes, and after two seconds without an event. Rings that stand
 * still are helped on (irqbed_stall.c), and so is the device (irqbed_recover.c).
 *
 * While events come and are taken there is a timer that finds nothing to do,
 * and wakes nobody. Registers are read where there was no event, and where a
 * flush asks for it: a device that raises events needs no other proof.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "irqbed.h"

/* How often it is asked whether a look is needed. */
#define IRQBED_PERIOD	HZ
/* So often without an event, and the device is asked how it is. */
#define IRQBED_SILENT_PERIODS	2
/* Between two looks where something seems wrong: longer than a record is late. */
#define IRQBED_LOOK_SOON_MS	20

static void irqbed_look_in(struct irqbed_service *service, unsigned int ms)
{
	mod_delayed_work(system_power_efficient_wq, &service->work,
			 msecs_to_jiffies(ms));
}

/* Asks for a look soon. In any context. */
void irqbed_service_kick(struct irqbed_device *idev)
{
	struct irqbed_service *service = &idev->service;

	/* Interrupts in vain can be many; one look is for all of them. */
	if (READ_ONCE(service->kicked))
		return;
	WRITE_ONCE(service->kicked, true);
	irqbed_look_in(service, IRQBED_LOOK_SOON_MS);
}

/* Bad records are counted where they are found, and spoken of here. */
static void irqbed_report_bad(struct irqbed_device *idev, u64 bad)
{
	struct irqbed_service *service = &idev->service;

	if (bad != service->bad)
		dev_warn_ratelimited(&idev->pdev->dev,
				     "%llu records made no sense or never became complete\n",
				     bad - service->bad);
	service->bad = bad;
}

/* One look, with the lock held. With @ask the device is asked in any case. */
static void irqbed_look(struct irqbed_device *idev, bool ask)
{
	struct irqbed_service *service = &idev->service;
	bool closely = ask || service->suspect || READ_ONCE(service->kicked);
	u64 bad = 0;
	u32 v;

	ask |= READ_ONCE(service->ask);
	/* Whoever wants one from here on is for the next. */
	WRITE_ONCE(service->kicked, false);
	WRITE_ONCE(service->ask, false);
	service->suspect = false;
	for (v = 0; v < idev->nr_rings; v++) {
		struct irqbed_ring *ring = &idev->rings[v];

		service->suspect |= irqbed_ring_look(ring, closely);
		bad += READ_ONCE(ring->counters.bad_record);
	}
	irqbed_report_bad(idev, bad);
	if (ask)
		irqbed_check_device(idev);
	if (service->suspect)
		irqbed_look_in(service, IRQBED_LOOK_SOON_MS);
}

static void irqbed_service_run(struct work_struct *work)
{
	struct irqbed_device *idev =
		container_of(work, struct irqbed_device, service.work.work);

	mutex_lock(&idev->service.lock);
	if (!idev->service.off)
		irqbed_look(idev, false);
	mutex_unlock(&idev->service.lock);
}

/* Asks for a look where there was no event, or one that nobody takes. */
static void irqbed_service_timer(struct timer_list *timer)
{
	struct irqbed_device *idev =
		container_of(timer, struct irqbed_device, service.timer);
	struct irqbed_service *service = &idev->service;
	u64 events = 0;
	u32 v;

	if (READ_ONCE(service->off))
		return;
	for (v = 0; v < idev->nr_rings; v++)
		events += READ_ONCE(idev->rings[v].counters.events);
	service->silent = events == service->events ? service->silent + 1 : 0;
	service->events = events;
	if (service->silent == IRQBED_SILENT_PERIODS) {
		service->silent = 0;
		WRITE_ONCE(service->ask, true);
		irqbed_look_in(service, 0);
	} else if (irqbed_rings_waiting(idev)) {
		irqbed_look_in(service, 0);
	}
	mod_timer(timer, jiffies + IRQBED_PERIOD);
}

/*
 * Whatever is complete in a ring when this is called is handed on when it
 * returns, or its interrupt is on its way. In process context; may take a while
 * where something is wrong.
 */
void irqbed_service_settle(struct irqbed_device *idev)
{
	struct irqbed_service *service = &idev->service;

	mutex_lock(&service->lock);
	if (!service->off)
		irqbed_look(idev, true);
	if (!service->off && service->suspect) {
		mutex_unlock(&service->lock);
		msleep(IRQBED_LOOK_SOON_MS);
		mutex_lock(&service->lock);
		if (!service->off)
			irqbed_look(idev, false);
	}
	mutex_unlock(&service->lock);
}

/* From now on the device is looked after. With the lock held. */
static void irqbed_service_begin(struct irqbed_service *service)
{
	WRITE_ONCE(service->kicked, false);
	WRITE_ONCE(service->off, false);
	mod_timer(&service->timer, jiffies + IRQBED_PERIOD);
}

/* The function is about to be reset by who knows what it does. */
void irqbed_pause(struct irqbed_device *idev)
{
	mutex_lock(&idev->service.lock);
	WRITE_ONCE(idev->service.off, true);
	irqbed_suspend_rings(idev);
	/* One that does not answer does nothing either. */
	irqbed_reset(idev);
	mutex_unlock(&idev->service.lock);
}

/* It has been reset. */
void irqbed_resume(struct irqbed_device *idev)
{
	struct irqbed_service *service = &idev->service;

	mutex_lock(&service->lock);
	/* Where that fails, the next looks try again. */
	irqbed_resume_rings(idev);
	irqbed_service_begin(service);
	mutex_unlock(&service->lock);
}

/* No look any more, but one that does nothing. */
void irqbed_service_stop(struct irqbed_device *idev)
{
	mutex_lock(&idev->service.lock);
	WRITE_ONCE(idev->service.off, true);
	mutex_unlock(&idev->service.lock);
}

static void irqbed_service_stop_action(void *data)
{
	irqbed_service_stop(data);
}

/* Nobody is left who could kick it. */
static void irqbed_service_end(void *data)
{
	struct irqbed_device *idev = data;

	timer_delete_sync(&idev->service.timer);
	cancel_delayed_work_sync(&idev->service.work);
	mutex_destroy(&idev->service.lock);
	kfree(idev->service.config);
}

/* Before any interrupt, and so ended after the last one. */
int irqbed_service_prepare(struct irqbed_device *idev)
{
	struct irqbed_service *service = &idev->service;

	mutex_init(&service->lock);
	timer_setup(&service->timer, irqbed_service_timer, 0);
	INIT_DELAYED_WORK(&service->work, irqbed_service_run);
	service->off = true;
	return devm_add_action_or_reset(&idev->pdev->dev, irqbed_service_end,
					idev);
}

/* Looks after a device that is enabled, until before it is stopped. */
int irqbed_service_start(struct irqbed_device *idev)
{
	struct irqbed_service *service = &idev->service;
	struct pci_dev *pdev = idev->pdev;

	pci_save_state(pdev);
	service->config = pci_store_saved_state(pdev);
	if (!service->config)
		return -ENOMEM;
	mutex_lock(&service->lock);
	irqbed_service_begin(service);
	mutex_unlock(&service->lock);
	return devm_add_action_or_reset(&pdev->dev, irqbed_service_stop_action,
					idev);
}
