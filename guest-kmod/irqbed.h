/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The driver's own structures.
 *
 * An event arrives as a record in a ring (irqbed_ring.c), is delivered, in the
 * context that the module was loaded with (irqbed_context.c), to the one
 * notifier it was loaded with (irqbed_notifier.h), and reaches its listeners.
 * irqbed_pci.c finds the device, irqbed_ring_memory.c and irqbed_irq.c give it its
 * rings and interrupts, irqbed_hw.c tells it of them, and irqbed_watchdog.c
 * recovers rings and devices that have stalled or failed. irqbed_netlink.c and
 * irqbed_genetlink.c are the control plane, where listeners subscribe and read
 * the counters of irqbed_devices.c. What a listener replies goes back by
 * irqbed_reply.c.
 */
#ifndef IRQBED_H
#define IRQBED_H

#include <linux/cache.h>
#include <linux/interrupt.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/timer.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "irqbed_abi.h"
#include "irqbed_compat.h"
#include "irqbed_ring_consumer.h"

struct irqbed_handle;
struct netlink_ext_ack;
struct sk_buff;

#ifndef CONFIG_X86_64
#error "irqbed stamps with the TSC in single 64-bit stores: x86-64 only"
#endif

/*
 * What became of the events of one ring. Only the drain of that ring writes
 * here, and where it is put off the hard interrupt writes the first two;
 * neither ever runs twice at a time, so plain increments do; readers sum over
 * all rings and may be an event behind.
 */
struct irqbed_ring_counters {
	u64 interrupts;
	u64 merged_interrupts;
	u64 events;
	u64 sent;
	u64 no_listener;
	u64 socket_full;
	u64 listener_gone;
	u64 no_memory;
	u64 bad_record;
	u64 queue_full;
	/* Written while the ring is held. */
	u64 missing_record;
	u64 rescues;
};

/* A completion ring, and the number of the vector that announces its records. */
struct irqbed_ring {
	struct irqbed_consumer consumer;
	const u8 *payloads;
	/* In the instrument BAR. */
	struct irqbed_trace_slot *trace;
	u32 vector;

	/*
	 * The message that a notifier fills, and the number of events in it.
	 * Only the drain writes them, and leaves them empty at its end; a flush
	 * reads the first.
	 */
	u32 batched;
	struct sk_buff *batch;
	struct irqbed_device *idev;

	struct irqbed_ring_counters counters ____cacheline_aligned;

	dma_addr_t records_dma;
	dma_addr_t payloads_dma;
	/* Where the consumer stood when the flush in progress began. */
	u32 flush_from;
	/* The watchdog's own. */
	struct irqbed_stall stall;

	/*
	 * For a drain that is put off (see irqbed_context.c): when the interrupt
	 * of each record came, by index, valid up to @entered. Written by the
	 * hard interrupt, read by the drain.
	 */
	u64 *entry;
	u32 entered;
	union {
		struct work_struct work;
		struct irqbed_bh bh;
	};
} ____cacheline_aligned;

/* One event as the notifier gets it: checked, and no longer the device's. */
struct irqbed_event {
	/* What goes to the listener, byte for byte. */
	struct irqbed_event_message message;
	/*
	 * @message.payload_len bytes in the ring's payload area, valid until
	 * notify() returns. The device could change them meanwhile: copy, do
	 * not interpret.
	 */
	const void *payload;
};

enum irqbed_health {
	IRQBED_HEALTHY,
	/* Its registers read all ones. */
	IRQBED_NO_ANSWER,
	/* The last attempt to set it up failed. */
	IRQBED_FAILED,
};

/* See irqbed_watchdog.c. */
struct irqbed_watchdog {
	struct timer_list timer;
	/* The timer's own: events at its last time, times without one. */
	u64 events;
	unsigned int silent;
	struct delayed_work work;
	/* An interrupt wants a poll; the next one is to read the status. */
	bool scheduled;
	bool check;
	/*
	 * Guards all below, and keeps polls from running twice at a time. Taken
	 * in process context only, inside of the lock of the list of devices.
	 */
	struct mutex lock;
	/* A ring may have stalled. */
	bool suspect;
	/* The device is stopped, or about to be. The timer reads it, too. */
	bool off;
	/* A ring could not be armed anew: the device has to be set up. */
	bool unarmed;
	enum irqbed_health health;
	/* Polls before the next attempt to set the device up. */
	int backoff;
	int failures;
	/* Records that were reported as bad or missing. */
	u64 reported;
	/* Times the device was set up anew; read without the lock. */
	u64 recoveries;
	/* The configuration space of the device when it works. */
	struct pci_saved_state *config;
};

/* How long a record may take to become complete and to be taken. */
#define IRQBED_PATIENCE_MS	20

/* Schedules a poll. In any context. */
static inline void irqbed_watchdog_poll_in(struct irqbed_watchdog *watchdog,
					   unsigned int ms)
{
	mod_delayed_work(system_power_efficient_wq, &watchdog->work,
			 msecs_to_jiffies(ms));
}

/*
 * The same, for an interrupt that found no record. There can be many of them;
 * one poll is for all.
 */
static inline void irqbed_watchdog_schedule(struct irqbed_watchdog *watchdog)
{
	if (READ_ONCE(watchdog->scheduled))
		return;
	WRITE_ONCE(watchdog->scheduled, true);
	irqbed_watchdog_poll_in(watchdog, IRQBED_PATIENCE_MS);
}

struct irqbed_device {
	struct pci_dev *pdev;
	void __iomem *regs;
	void __iomem *doorbell;
	/* The instrument BAR, see irqbed_map_instrument(). */
	void *instrument;
	struct irqbed_ring *rings;
	u32 nr_rings;
	/* Either one for each ring, or one for all. */
	u32 nr_irqs;
	/* What the device said of itself, checked. */
	u32 vectors;
	u32 slots;
	u32 max_payload;
	/* The N of /dev/irqbedN. */
	int id;
	/*
	 * The queues of open files, for the notifiers that use them: changed by
	 * irqbed_chardev.c, or by notify_uio.c where that is the notifier, each
	 * under its lock; walked by the drains under RCU.
	 */
	struct list_head queues;
	/* In irqbed_devices. */
	struct list_head node;
	/* In irqbed_reply_devices. */
	struct list_head reply_node;
	/* For those who may keep the device open longer than it is there. */
	struct irqbed_handle *handle;
	struct irqbed_watchdog watchdog;
	/* Rings that are held, where the interrupt is a line, see irqbed_irq.c. */
	unsigned int held;
};

/*
 * Where the drain of a ring runs. The stamp 'isr' is that of the hard
 * interrupt in all of them, 'notify' that of the drain.
 */
struct irqbed_context {
	/* As the module parameter says it. */
	const char *name;
	/* For request_threaded_irq(), where the interrupt is that of one ring. */
	irq_handler_t handler;
	irq_handler_t thread;
	/*
	 * Where rings share an interrupt (see irqbed_irq.c), the part of it that
	 * is for one ring. Says whether it found a new record.
	 */
	bool (*share)(struct irqbed_ring *ring, u64 entry);
	/* Whether the drain is put off, and a ring needs room for the entries. */
	bool deferred;
	/* Before the first ring and after the last one; both may be NULL. */
	int (*start)(void);
	void (*stop)(void);
	/*
	 * Before the ring has an interrupt and after it has none any more: when
	 * the second returns the drain does not run and never will. May be NULL.
	 */
	void (*prepare)(struct irqbed_ring *ring);
	void (*cancel)(struct irqbed_ring *ring);
};

/*
 * What each file has for the others. A file calls those before it, never those
 * after it: one that is told of something by another gives it a function.
 */

/* irqbed_ring.c */
irqreturn_t irqbed_interrupt(int irq, void *data);
void irqbed_spurious(struct irqbed_ring *ring);
u32 irqbed_rings_ready(const struct irqbed_device *idev);
bool irqbed_ring_drain(struct irqbed_ring *ring, u64 entry);
void irqbed_ring_enter(struct irqbed_ring *ring, u64 entry);
bool irqbed_ring_enter_shared(struct irqbed_ring *ring, u64 entry);
void irqbed_ring_drain_deferred(struct irqbed_ring *ring);
void irqbed_ring_salvage(struct irqbed_ring *ring, u32 end);
bool irqbed_ring_flushed(const struct irqbed_ring *ring);
size_t irqbed_ring_batch_size(const struct irqbed_ring *ring, u32 count,
			      size_t (*size)(u32 payload_len));

/* irqbed_context.c */
extern const struct irqbed_context *irqbed_context;
int irqbed_context_select(const char *name);

/* irqbed_ring_memory.c */
int irqbed_rings_check_parameters(void);
int irqbed_alloc_rings(struct irqbed_device *idev);

/* irqbed_irq.c */
int irqbed_irq_select(const char *name);
const char *irqbed_irq_title(void);
int irqbed_alloc_vectors(struct irqbed_device *idev);
int irqbed_request_irqs(struct irqbed_device *idev);
void irqbed_ring_quiesce(struct irqbed_ring *ring);
void irqbed_ring_resume(struct irqbed_ring *ring);

/* irqbed_hw.c */
int irqbed_reset(struct irqbed_device *idev);
int irqbed_enable(struct irqbed_device *idev);
int irqbed_arm_ring(struct irqbed_ring *ring);
void irqbed_stop_ring(struct irqbed_ring *ring);
u32 irqbed_ring_device_next(const struct irqbed_ring *ring);

/* irqbed_watchdog.c */
int irqbed_watchdog_prepare(struct irqbed_device *idev);
int irqbed_watchdog_start(struct irqbed_device *idev);
void irqbed_watchdog_stop(struct irqbed_device *idev);
void irqbed_watchdog_sync(struct irqbed_device *idev);
void irqbed_watchdog_suspend(struct irqbed_device *idev);
void irqbed_watchdog_resume(struct irqbed_device *idev);

/* irqbed_devices.c */
int irqbed_devices_add(struct irqbed_device *idev);
void irqbed_read_counters(struct irqbed_counters *sum);
void irqbed_flush_begin(void);
bool irqbed_flush_done(void);

/* irqbed_reply.c */
int irqbed_reply(const struct irqbed_device *idev,
		 const struct irqbed_reply_request *request, u64 entry);
int irqbed_reply_any(const struct irqbed_reply_request *request, u64 entry,
		     struct netlink_ext_ack *extack);
int irqbed_reply_done(int err);
void irqbed_reply_read_counters(struct irqbed_counters *sum);
int irqbed_reply_register(struct irqbed_device *idev);

/* irqbed_chardev.c */
int irqbed_chardev_register(struct irqbed_device *idev);

/* irqbed_pci.c */
extern struct pci_driver irqbed_driver;

#endif /* IRQBED_H */
