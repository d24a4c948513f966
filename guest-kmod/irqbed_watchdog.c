// SPDX-License-Identifier: GPL-2.0
/*
 * The watchdog: recovers rings that have stalled and devices that have failed,
 * away from the path of an event. A poll is due soon after an interrupt that
 * found no record, at a flush, where a complete record waits that nobody takes,
 * and after two seconds without an event. While events come and are taken there
 * is a timer that finds nothing to do, and no register is read.
 *
 * A ring whose interrupt was lost is drained. Where a record does not become
 * complete, the device is told to stop the ring; then all that is complete is
 * delivered, the others are counted, and the ring is armed anew, with numbers
 * that nothing in its memory has. A device that stopped after an error, was reset
 * behind the driver's back, or was gone and is there again, is set up anew in the
 * same way. Until a ring is stopped its memory is the device's, and the driver
 * writes to it never: irqbed_ring_consumer.h says how records are told apart, and
 * decides when a ring has stalled.
 */
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "irqbed.h"
#include "irqbed_stamp.h"

/* How often the timer asks whether a poll is due. */
#define IRQBED_PERIOD	HZ
/* So many times without an event, and the status is read. */
#define IRQBED_SILENT_PERIODS	2
/* Most polls to wait before the next attempt to set a device up. */
#define IRQBED_MAX_BACKOFF	16
/*
 * Most polls of a flush: the last record but one lost its interrupt, the last
 * one a part, and each takes two polls and one that finds it.
 */
#define IRQBED_SYNC_POLLS	6

/* Puts back what a reset of the function took out of its configuration space. */
static void irqbed_restore_config(struct irqbed_device *idev)
{
	const u16 needed = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	struct pci_dev *pdev = idev->pdev;
	u16 command;

	pci_read_config_word(pdev, PCI_COMMAND, &command);
	if (command == (u16)PCI_ERROR_RESPONSE || (command & needed) == needed)
		return;
	if (!pci_load_saved_state(pdev, idev->watchdog.config))
		pci_restore_state(pdev);
}

/*
 * Notes that the device works, or that it could not be set up (@err): the next
 * attempt waits for some polls, and each time for more.
 */
static void irqbed_set_health(struct irqbed_watchdog *watchdog, int err)
{
	if (err) {
		watchdog->health = IRQBED_FAILED;
		watchdog->failures = min(2 * watchdog->failures + 1,
					 IRQBED_MAX_BACKOFF);
	} else {
		watchdog->health = IRQBED_HEALTHY;
		watchdog->failures = 0;
	}
	watchdog->backoff = watchdog->failures;
}

/*
 * Stops the device, and takes what the rings have. They are held until
 * irqbed_start_device(). A device that does not answer does nothing either.
 */
static int irqbed_stop_device(struct irqbed_device *idev)
{
	struct irqbed_ring *ring;
	int err;
	u32 v;

	for (v = 0; v < idev->nr_rings; v++)
		irqbed_ring_quiesce(&idev->rings[v]);
	irqbed_restore_config(idev);
	err = irqbed_reset(idev);
	for (v = 0; v < idev->nr_rings; v++) {
		ring = &idev->rings[v];
		irqbed_ring_salvage(ring, irqbed_consumer_end(&ring->consumer));
	}
	return err;
}

/* Sets a device up that was stopped (@err: or could not be), with empty rings. */
static int irqbed_start_device(struct irqbed_device *idev, int err)
{
	struct irqbed_watchdog *watchdog = &idev->watchdog;
	u32 v;

	if (!err)
		err = irqbed_enable(idev);
	for (v = 0; v < idev->nr_rings; v++)
		irqbed_ring_resume(&idev->rings[v]);
	irqbed_set_health(watchdog, err);
	/* Where arming failed, the device is not enabled, and the status says so. */
	watchdog->unarmed = false;
	if (err)
		dev_warn_ratelimited(&idev->pdev->dev,
				     "the device could not be set up anew (error %d): trying again later\n",
				     err);
	else
		watchdog->recoveries++;
	return err;
}

/* The device is not what we left it: @status says how. */
static void irqbed_recover_device(struct irqbed_device *idev, u32 status)
{
	struct irqbed_watchdog *watchdog = &idev->watchdog;
	bool was_gone = watchdog->health == IRQBED_NO_ANSWER;

	if (watchdog->backoff) {
		watchdog->backoff--;
		return;
	}
	if (!irqbed_start_device(idev, irqbed_stop_device(idev)))
		dev_warn_ratelimited(&idev->pdev->dev,
				     "the device %s: set up anew\n",
				     was_gone ? "was gone" :
				     status & IRQBED_STATUS_DMA_ERROR ?
				     "stopped after a failed DMA access" :
				     status & IRQBED_STATUS_READY ?
				     "did not arm a ring" :
				     "was reset behind the driver's back");
}

/* Reads the status of the device, and recovers the device where it has failed. */
static void irqbed_check_device(struct irqbed_device *idev)
{
	struct irqbed_watchdog *watchdog = &idev->watchdog;
	void __iomem *reg = idev->regs + IRQBED_REG_STATUS;
	u32 status = readl(reg);

	if (PCI_POSSIBLE_ERROR(status)) {
		/* Memory is off after a reset of the function, too. */
		irqbed_restore_config(idev);
		status = readl(reg);
	}
	if (PCI_POSSIBLE_ERROR(status)) {
		if (watchdog->health != IRQBED_NO_ANSWER)
			dev_warn_ratelimited(&idev->pdev->dev,
					     "the device does not answer: it is gone, or its registers are; waiting for it\n");
		watchdog->health = IRQBED_NO_ANSWER;
	} else if (!(status & IRQBED_STATUS_READY) || watchdog->unarmed) {
		irqbed_recover_device(idev, status);
	} else {
		if (watchdog->health != IRQBED_HEALTHY)
			dev_info(&idev->pdev->dev, "the device answers again\n");
		irqbed_set_health(watchdog, 0);
	}
}

/*
 * Takes what a ring has, whose interrupt was lost. What is written meanwhile has
 * an interrupt of its own.
 */
static void irqbed_rescue_ring(struct irqbed_ring *ring)
{
	irqbed_ring_quiesce(ring);
	irqbed_ring_drain(ring, irqbed_stamp());
	ring->counters.rescues++;
	irqbed_ring_resume(ring);
}

/*
 * A record does not become complete. The device must say so, too: what it said
 * in one register may have been a lie.
 */
static void irqbed_restart_ring(struct irqbed_ring *ring)
{
	u32 end = irqbed_ring_device_next(ring);

	if (PCI_POSSIBLE_ERROR(end) || (s32)(end - ring->consumer.next) <= 0)
		return;
	irqbed_ring_quiesce(ring);
	irqbed_stop_ring(ring);
	end = irqbed_ring_device_next(ring);
	if (PCI_POSSIBLE_ERROR(end) || (s32)(end - ring->consumer.next) < 0)
		end = irqbed_consumer_end(&ring->consumer);
	irqbed_ring_salvage(ring, end);
	if (irqbed_arm_ring(ring))
		ring->idev->watchdog.unarmed = true;
	ring->counters.rescues++;
	irqbed_ring_resume(ring);
}

/* Polls a ring. Returns whether to poll again soon. */
static bool irqbed_poll_ring(struct irqbed_ring *ring, bool pending, bool sync)
{
	switch (irqbed_ring_poll(&ring->consumer, &ring->stall, pending, jiffies,
				 msecs_to_jiffies(IRQBED_PATIENCE_MS))) {
	case IRQBED_RING_UNANNOUNCED:
		irqbed_rescue_ring(ring);
		return true;
	case IRQBED_RING_HOLE:
		irqbed_restart_ring(ring);
		return false;
	case IRQBED_RING_MOVING:
		return sync;
	case IRQBED_RING_WAITING:
		return true;
	default:
		return false;
	}
}

/* Bad records are counted where they are found, and reported here. */
static void irqbed_report_bad(struct irqbed_device *idev)
{
	struct irqbed_watchdog *watchdog = &idev->watchdog;
	u64 bad = 0;
	u32 v;

	for (v = 0; v < idev->nr_rings; v++)
		bad += READ_ONCE(idev->rings[v].counters.bad_record) +
		       idev->rings[v].counters.missing_record;
	if (bad != watchdog->reported)
		dev_warn_ratelimited(&idev->pdev->dev,
				     "%llu records made no sense or never became complete\n",
				     bad - watchdog->reported);
	watchdog->reported = bad;
}

/*
 * One poll, with the lock held. @check reads the status in any case, and @sync
 * polls again while a ring is behind.
 */
static void irqbed_poll(struct irqbed_device *idev, bool check, bool sync)
{
	struct irqbed_watchdog *watchdog = &idev->watchdog;
	bool suspect = check || sync || watchdog->suspect ||
		       READ_ONCE(watchdog->scheduled);
	u32 v, pending = 0;

	check |= READ_ONCE(watchdog->check);
	/* Whoever wants one from here on is for the next. */
	WRITE_ONCE(watchdog->scheduled, false);
	WRITE_ONCE(watchdog->check, false);
	if (suspect || check)
		pending = readl(idev->regs + IRQBED_REG_PENDING);
	if (PCI_POSSIBLE_ERROR(pending) &&
	    PCI_POSSIBLE_ERROR(readl(idev->regs + IRQBED_REG_STATUS))) {
		pending = 0;
		check = true;
	}
	watchdog->suspect = false;
	for (v = 0; v < idev->nr_rings; v++)
		watchdog->suspect |= irqbed_poll_ring(&idev->rings[v],
						      pending & BIT(v), sync);
	irqbed_report_bad(idev);
	if (check || watchdog->unarmed)
		irqbed_check_device(idev);
	if (watchdog->suspect)
		irqbed_watchdog_poll_in(watchdog, IRQBED_PATIENCE_MS);
}

static void irqbed_watchdog_work(struct work_struct *work)
{
	struct irqbed_device *idev =
		container_of(work, struct irqbed_device, watchdog.work.work);

	mutex_lock(&idev->watchdog.lock);
	if (!idev->watchdog.off)
		irqbed_poll(idev, false, false);
	mutex_unlock(&idev->watchdog.lock);
}

/* Schedules a poll where there was no event, or one that nobody takes. */
static void irqbed_watchdog_timer(struct timer_list *timer)
{
	struct irqbed_device *idev =
		container_of(timer, struct irqbed_device, watchdog.timer);
	struct irqbed_watchdog *watchdog = &idev->watchdog;
	u64 events = 0;
	u32 v;

	if (READ_ONCE(watchdog->off))
		return;
	for (v = 0; v < idev->nr_rings; v++)
		events += READ_ONCE(idev->rings[v].counters.events);
	watchdog->silent = events == watchdog->events ? watchdog->silent + 1 : 0;
	watchdog->events = events;
	if (watchdog->silent == IRQBED_SILENT_PERIODS) {
		watchdog->silent = 0;
		WRITE_ONCE(watchdog->check, true);
		irqbed_watchdog_poll_in(watchdog, 0);
	} else if (irqbed_rings_ready(idev)) {
		irqbed_watchdog_poll_in(watchdog, 0);
	}
	mod_timer(timer, jiffies + IRQBED_PERIOD);
}

/*
 * Whatever is complete in a ring when this is called is delivered when it
 * returns, or its interrupt is on its way. In process context; may take a while
 * where something is wrong.
 */
void irqbed_watchdog_sync(struct irqbed_device *idev)
{
	struct irqbed_watchdog *watchdog = &idev->watchdog;
	bool again;
	int polls;

	for (polls = 0; polls < IRQBED_SYNC_POLLS; polls++) {
		if (polls)
			msleep(IRQBED_PATIENCE_MS);
		mutex_lock(&watchdog->lock);
		if (!watchdog->off)
			irqbed_poll(idev, !polls, true);
		again = watchdog->suspect && !watchdog->off;
		mutex_unlock(&watchdog->lock);
		if (!again)
			break;
	}
}

/* From now on the device is polled. With the lock held. */
static void irqbed_watchdog_begin(struct irqbed_watchdog *watchdog)
{
	WRITE_ONCE(watchdog->scheduled, false);
	WRITE_ONCE(watchdog->off, false);
	mod_timer(&watchdog->timer, jiffies + IRQBED_PERIOD);
}

/*
 * Stops the device, the watchdog and whatever delivers events: the function is
 * about to be reset, or to lose power. In process context.
 */
void irqbed_watchdog_suspend(struct irqbed_device *idev)
{
	mutex_lock(&idev->watchdog.lock);
	WRITE_ONCE(idev->watchdog.off, true);
	irqbed_stop_device(idev);
	mutex_unlock(&idev->watchdog.lock);
}

/* The opposite, when the function has power and configuration space again. */
void irqbed_watchdog_resume(struct irqbed_device *idev)
{
	struct irqbed_watchdog *watchdog = &idev->watchdog;

	mutex_lock(&watchdog->lock);
	irqbed_restore_config(idev);
	/* Where that fails, the next polls try again. */
	irqbed_start_device(idev, irqbed_reset(idev));
	irqbed_watchdog_begin(watchdog);
	mutex_unlock(&watchdog->lock);
}

/* No poll any more, but one that does nothing. */
void irqbed_watchdog_stop(struct irqbed_device *idev)
{
	mutex_lock(&idev->watchdog.lock);
	WRITE_ONCE(idev->watchdog.off, true);
	mutex_unlock(&idev->watchdog.lock);
}

static void irqbed_watchdog_stop_action(void *data)
{
	irqbed_watchdog_stop(data);
}

/* Nobody is left who could schedule a poll. */
static void irqbed_watchdog_end(void *data)
{
	struct irqbed_device *idev = data;

	timer_delete_sync(&idev->watchdog.timer);
	cancel_delayed_work_sync(&idev->watchdog.work);
	mutex_destroy(&idev->watchdog.lock);
	kfree(idev->watchdog.config);
}

/* Before any interrupt, and so ended after the last one. */
int irqbed_watchdog_prepare(struct irqbed_device *idev)
{
	struct irqbed_watchdog *watchdog = &idev->watchdog;

	mutex_init(&watchdog->lock);
	timer_setup(&watchdog->timer, irqbed_watchdog_timer, 0);
	INIT_DELAYED_WORK(&watchdog->work, irqbed_watchdog_work);
	watchdog->off = true;
	return devm_add_action_or_reset(&idev->pdev->dev, irqbed_watchdog_end,
					idev);
}

/* Watches a device that is enabled, until before it is stopped. */
int irqbed_watchdog_start(struct irqbed_device *idev)
{
	struct irqbed_watchdog *watchdog = &idev->watchdog;
	struct pci_dev *pdev = idev->pdev;

	pci_save_state(pdev);
	watchdog->config = pci_store_saved_state(pdev);
	if (!watchdog->config)
		return -ENOMEM;
	mutex_lock(&watchdog->lock);
	irqbed_watchdog_begin(watchdog);
	mutex_unlock(&watchdog->lock);
	return devm_add_action_or_reset(&pdev->dev, irqbed_watchdog_stop_action,
					idev);
}
