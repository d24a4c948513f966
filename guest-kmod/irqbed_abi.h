/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Made from the Rust crate irqbed-abi by its test c_header; do not edit.
 */
#ifndef IRQBED_ABI_H
#define IRQBED_ABI_H


#include <linux/build_bug.h>
#include <linux/ioctl.h>
#include <linux/stddef.h>
#include <linux/types.h>

#define IRQBED_FAMILY_NAME "irqbed"
#define IRQBED_MCGRP_EVENTS "events"

/*
 * PCI vendor id. 0x1bed is not assigned to anybody we know of; a device that
 * exists only in a testbed must not claim another vendor's number.
 */
#define IRQBED_PCI_VENDOR_ID 7149

/*
 * PCI device id of the event device.
 */
#define IRQBED_PCI_DEVICE_ID 4097

/*
 * PCI revision; moves with [`crate::regs::ABI_VERSION`].
 */
#define IRQBED_PCI_REVISION 3

/*
 * BAR of the trapped control registers, see [`crate::regs`].
 */
#define IRQBED_CONTROL_BAR 0

/*
 * Size of the control BAR, bytes.
 */
#define IRQBED_CONTROL_BAR_SIZE 4096

/*
 * BAR of the doorbell, trapped, see [`crate::reply`]. It is a BAR of its own, so
 * that a process that maps it reaches nothing else.
 */
#define IRQBED_DOORBELL_BAR 1

/*
 * Size of the doorbell BAR, bytes: a page.
 */
#define IRQBED_DOORBELL_BAR_SIZE 4096

/*
 * BAR of the memory that host and guest share, see [`crate::trace`]. It is
 * 64 bits wide and so takes BAR 3 too.
 */
#define IRQBED_INSTRUMENT_BAR 2

/*
 * Size of the instrument BAR, bytes.
 */
#define IRQBED_INSTRUMENT_BAR_SIZE 4194304

/*
 * BAR of the MSI-X table and pending bits.
 */
#define IRQBED_MSIX_BAR 4

/*
 * Size of the MSI-X BAR, bytes.
 */
#define IRQBED_MSIX_BAR_SIZE 4096

/*
 * Offset of the MSI-X table in its BAR, bytes.
 */
#define IRQBED_MSIX_TABLE_OFFSET 0

/*
 * Offset of the MSI-X pending bit array in its BAR, bytes.
 */
#define IRQBED_MSIX_PBA_OFFSET 2048

/*
 * Vectors of the event device by MSI-X and by MSI, each with a completion
 * ring. A ring whose vector the guest has not enabled by MSI interrupts by
 * vector 0, and with INTx all do by the one line.
 */
#define IRQBED_VECTORS 32

/*
 * Version of everything in this crate that the driver sees.
 */
#define IRQBED_ABI_VERSION 3

/*
 * Value of [`REG_MAGIC`]: "IRQB" in memory order.
 */
#define IRQBED_MAGIC 1112625737

/*
 * Read-only: [`MAGIC`].
 */
#define IRQBED_REG_MAGIC 0

/*
 * Read-only: [`ABI_VERSION`].
 */
#define IRQBED_REG_VERSION 4

/*
 * Read-only: number of rings, and of vectors where each has its own.
 */
#define IRQBED_REG_VECTORS 8

/*
 * Read-only: number of trace slots in the instrument BAR.
 */
#define IRQBED_REG_SLOTS 12

/*
 * Read-only: longest payload in bytes.
 */
#define IRQBED_REG_MAX_PAYLOAD 16

/*
 * Read-write: control bits, see `CTRL_*`.
 */
#define IRQBED_REG_CTRL 20

/*
 * Read-only: status bits, see `STATUS_*`.
 */
#define IRQBED_REG_STATUS 24

/*
 * Read-write: keeps what was written; for liveness checks and access timing.
 */
#define IRQBED_REG_SCRATCH 28

/*
 * Write-only: raises one event, so that a driver can test its interrupts with no
 * host at hand. Bits 15:0 are the vector, bits 31:16 how many bytes the event
 * carries (of [`crate::pattern`]).
 */
#define IRQBED_REG_SELF_RAISE 32

/*
 * Read, and write one to clear: bit `v` is set when a record was written to
 * ring `v` that INTx announces. The line is asserted while any bit is set, and
 * a record written after its bit was cleared sets it again. Zero with MSI-X and
 * MSI, which need no acknowledge.
 */
#define IRQBED_REG_IRQ_STATUS 36

/*
 * Read-only: bit `v` is set while ring `v` holds records that the driver has
 * not consumed, by its consumer index.
 */
#define IRQBED_REG_PENDING 40

/*
 * [`REG_CTRL`]: the device may raise events.
 */
#define IRQBED_CTRL_ENABLE (1 << 0)

/*
 * [`REG_CTRL`]: writing one resets the device; reads as zero.
 */
#define IRQBED_CTRL_RESET (1 << 1)

/*
 * [`REG_STATUS`]: events can be raised (enabled, no error).
 */
#define IRQBED_STATUS_READY (1 << 0)

/*
 * [`REG_STATUS`]: a DMA access failed; only a reset clears it.
 */
#define IRQBED_STATUS_DMA_ERROR (1 << 1)

/*
 * First ring register block; ring `v` starts at
 * `REG_RING_BASE + v * REG_RING_STRIDE`.
 */
#define IRQBED_REG_RING_BASE 256

/*
 * Distance in bytes between the register blocks of two rings.
 */
#define IRQBED_REG_RING_STRIDE 64

/*
 * Read-write: bits 31:0 of the DMA address of the records, 64-byte aligned.
 */
#define IRQBED_RING_RECORDS_LO 0

/*
 * Read-write: bits 63:32 of the DMA address of the records.
 */
#define IRQBED_RING_RECORDS_HI 4

/*
 * Read-write: bits 31:0 of the DMA address of the payload area, 64-byte aligned.
 */
#define IRQBED_RING_PAYLOAD_LO 8

/*
 * Read-write: bits 63:32 of the DMA address of the payload area.
 */
#define IRQBED_RING_PAYLOAD_HI 12

/*
 * Read-write: number of records, a power of two from
 * [`crate::ring::MIN_ENTRIES`] to [`crate::ring::MAX_ENTRIES`].
 */
#define IRQBED_RING_ENTRIES 16

/*
 * Read-write: size of the payload area in bytes, a multiple of
 * [`crate::ring::PAYLOAD_ALIGN`], at least [`crate::ring::MIN_PAYLOAD_AREA`].
 */
#define IRQBED_RING_PAYLOAD_SIZE 20

/*
 * Read-write: 1 arms the ring, empty, with [`RING_NEXT`] as its consumer index;
 * reads back 0 when its geometry or its addresses were refused.
 *
 * 0 stops it. When that write is answered, the device writes nothing more to
 * the ring's memory, also not what is late. The records in it are the driver's
 * to take until the ring is armed again; what its consumer index leaves by then
 * is discarded. An event raised meanwhile finds no room, as in a full ring.
 */
#define IRQBED_RING_ARM 24

/*
 * Read-only: events lost because the ring or its payload area was full.
 */
#define IRQBED_RING_OVERFLOWS 28

/*
 * Read-write: number of the next record. What is written is the number of the
 * first one, from when the ring is armed.
 */
#define IRQBED_RING_NEXT 32

/*
 * Longest payload of an event, bytes.
 */
#define IRQBED_MAX_PAYLOAD 4096

/*
 * Payloads start at multiples of this, bytes.
 */
#define IRQBED_PAYLOAD_ALIGN 64

/*
 * Smallest payload area, bytes: the longest payload fits twice.
 */
#define IRQBED_MIN_PAYLOAD_AREA 8192

/*
 * Largest payload area, bytes.
 */
#define IRQBED_MAX_PAYLOAD_AREA (16 << 20)

/*
 * Fewest records in a ring.
 */
#define IRQBED_MIN_ENTRIES 2

/*
 * Most records in a ring.
 */
#define IRQBED_MAX_ENTRIES 65536

/*
 * [`EventRecord::flags`]: the payload is [`crate::pattern`] of the sequence
 * number, and the receiver should check it.
 */
#define IRQBED_EVENT_PATTERN (1 << 0)

/*
 * Offset of the calibration ping, a u64 that the host writes: the number of
 * the exchange, or [`PING_STOP`].
 */
#define IRQBED_PING_OFFSET 0

/*
 * Offset of the guest's TSC at the moment it saw the ping, a u64.
 */
#define IRQBED_PONG_TSC_OFFSET 64

/*
 * Offset of the number of the exchange answered, a u64 written after the TSC.
 */
#define IRQBED_PONG_OFFSET 72

/*
 * A ping of this value ends the calibration.
 */
#define IRQBED_PING_STOP 18446744073709551615ull

/*
 * Offset of the consumer index of ring 0.
 */
#define IRQBED_CONSUMER_BASE 4096

/*
 * Distance in bytes between two consumer indices: a cache line each.
 */
#define IRQBED_CONSUMER_STRIDE 64

/*
 * Offset of trace slot 0.
 */
#define IRQBED_SLOT_BASE 65536

/*
 * Size of a trace slot, bytes: one cache line.
 */
#define IRQBED_SLOT_SIZE 64

/*
 * Number of trace slots: they fill the BAR.
 */
#define IRQBED_SLOTS 64512

/*
 * [`TraceSlot::verdict`]: no receiver has seen the event yet.
 */
#define IRQBED_VERDICT_NONE 0

/*
 * [`TraceSlot::verdict`]: received, in order, payload intact.
 */
#define IRQBED_VERDICT_OK 1

/*
 * [`TraceSlot::verdict`]: received, but the payload is not what was sent.
 */
#define IRQBED_VERDICT_BAD_PAYLOAD 2

/*
 * [`TraceSlot::verdict`]: received after a later event of the same vector.
 */
#define IRQBED_VERDICT_OUT_OF_ORDER 3

/*
 * Netlink protocol unit unless the module parameter `unit` says otherwise:
 * the last one, which nothing in the kernel claims.
 */
#define IRQBED_DEFAULT_UNIT 31

/*
 * Request: send me events by unicast. Payload: [`SubscribeRequest`], or
 * nothing for all vectors. A second one changes the first.
 */
#define IRQBED_MSG_SUBSCRIBE 16

/*
 * Request: no more events. No payload.
 */
#define IRQBED_MSG_UNSUBSCRIBE 17

/*
 * Request: the counters as they are now, answered in the callback by
 * [`MSG_COUNTERS`]. No payload.
 */
#define IRQBED_MSG_GET_COUNTERS 18

/*
 * Request: wait until each record that is in a ring now was handed to its
 * notifier, then answer with [`MSG_COUNTERS`]. It takes long and is done by a
 * worker; `sendmsg` returns before. No payload.
 */
#define IRQBED_MSG_FLUSH 19

/*
 * Answer: [`crate::counters::Counters`].
 */
#define IRQBED_MSG_COUNTERS 20

/*
 * Notification: an [`EventMessage`] with the payload behind it.
 */
#define IRQBED_MSG_EVENT 21

/*
 * Request: a reply to an event. Payload: [`crate::reply::ReplyRequest`].
 */
#define IRQBED_MSG_REPLY 22

/*
 * Multicast group of the events, as a group number (bit 0 of a group mask).
 */
#define IRQBED_GROUP_EVENTS 1

/*
 * Most subscribers by unicast.
 */
#define IRQBED_MAX_SUBSCRIBERS 64

/*
 * Most events in one datagram, a message each.
 */
#define IRQBED_MAX_BATCH 64

/*
 * Version of the family.
 */
#define IRQBED_FAMILY_VERSION 1

/*
 * Request: send me events by unicast, of the vectors in
 * [`A_SUBSCRIPTION_VECTORS`]. A second one changes the first.
 */
#define IRQBED_CMD_SUBSCRIBE 1

/*
 * Request: no more events. No attributes.
 */
#define IRQBED_CMD_UNSUBSCRIBE 2

/*
 * Request: the counters as they are now, answered with a message of the same
 * command. No attributes.
 */
#define IRQBED_CMD_GET_COUNTERS 3

/*
 * Notification: an event, `A_EVENT_*`.
 */
#define IRQBED_CMD_EVENT 4

/*
 * Request: a reply to the event of [`A_EVENT_SEQ`], whose trace slot is
 * [`A_EVENT_SLOT`].
 */
#define IRQBED_CMD_REPLY 5

/*
 * u32: bit `v` asks for the events of vector `v`; 0 is refused.
 */
#define IRQBED_A_SUBSCRIPTION_VECTORS 1

/*
 * Padding, where the kernel needs it to align the next attribute.
 */
#define IRQBED_A_EVENT_PAD 1

/*
 * u64: number of the event.
 */
#define IRQBED_A_EVENT_SEQ 2

/*
 * u32: index of the event's trace slot.
 */
#define IRQBED_A_EVENT_SLOT 3

/*
 * u32: MSI-X vector of the event.
 */
#define IRQBED_A_EVENT_VECTOR 4

/*
 * u32: `EVENT_*` bits of [`crate::ring`].
 */
#define IRQBED_A_EVENT_FLAGS 5

/*
 * Bytes: the payload.
 */
#define IRQBED_A_EVENT_PAYLOAD 6

/*
 * Padding, where the kernel needs it to align the next attribute.
 */
#define IRQBED_A_COUNTERS_PAD 1

/*
 * u64: the first field of [`crate::counters::Counters`]; the others follow,
 * one number each.
 */
#define IRQBED_A_COUNTERS_INTERRUPTS 2

/*
 * Events begin at multiples of this in the ring, bytes.
 */
#define IRQBED_QUEUE_ALIGN 8

/*
 * Smallest ring, bytes.
 */
#define IRQBED_MIN_QUEUE 8192

/*
 * Largest ring, bytes.
 */
#define IRQBED_MAX_QUEUE (16 << 20)

/*
 * The ring of who does not care, bytes.
 */
#define IRQBED_DEFAULT_QUEUE (256 << 10)

/*
 * Offset of the queue for `mmap`; the instrument BAR is at 0.
 */
#define IRQBED_QUEUE_MMAP_OFFSET 4294967296

/*
 * Size of each of the two pages before the ring, bytes.
 */
#define IRQBED_QUEUE_PAGE 4096

/*
 * Map of a UIO device: the instrument BAR.
 */
#define IRQBED_UIO_INSTRUMENT 0

/*
 * Map of a UIO device: the queue, to be read.
 */
#define IRQBED_UIO_QUEUE_MAP 1

/*
 * Map of a UIO device: the page with [`QueueTail`], to be written.
 */
#define IRQBED_UIO_TAIL_MAP 2

/*
 * `_IOW(0xb5, 1, ListenRequest)`: put events into a queue of this file.
 */
#define IRQBED_IOC_LISTEN _IOW(0xb5, 1, struct irqbed_listen_request)

/*
 * `_IO(0xb5, 2)`: no more events. Those in the queue can still be taken;
 * behind them `read` and [`IOC_WAIT`] give 0 bytes.
 */
#define IRQBED_IOC_STOP _IO(0xb5, 2)

/*
 * `_IOWR(0xb5, 3, WaitRequest)`: wait for an event and take it.
 */
#define IRQBED_IOC_WAIT _IOWR(0xb5, 3, struct irqbed_wait_request)

/*
 * [`ListenRequest::eventfd`]: none.
 */
#define IRQBED_NO_EVENTFD 4294967295

/*
 * Offset in the doorbell BAR of the doorbell: 32 bits, write-only. What is
 * written is the lower half of the number of the event that is replied to;
 * the device widens it, and knows the trace slot by it. Anything else that is
 * written to the BAR is counted and has no effect.
 */
#define IRQBED_DOORBELL 0

/*
 * Offset of the doorbell for `mmap` of the character device: one page.
 */
#define IRQBED_DOORBELL_MMAP_OFFSET 8589934592

/*
 * `_IOW(0xb5, 4, ReplyRequest)`: reply to an event.
 */
#define IRQBED_IOC_REPLY _IOW(0xb5, 4, struct irqbed_reply_request)

/*
 * One record of a completion ring.
 */
struct irqbed_event_record {
	/*
	 * Number of the event, counted from 1 over all vectors for as long as the
	 * device exists; a reset does not start it anew.
	 */
	__u64 seq;
	/*
	 * Offset of the payload in the ring's payload area, bytes.
	 */
	__u32 payload_offset;
	/*
	 * Length of the payload, bytes, 0 to [`MAX_PAYLOAD`].
	 */
	__u32 payload_len;
	/*
	 * Index of the event's trace slot.
	 */
	__u32 slot;
	/*
	 * `EVENT_*` bits.
	 */
	__u32 flags;
	/*
	 * Number of the record in its ring, free-running.
	 */
	__u32 number;
	/*
	 * [`ready_word`] of the number where the record is complete; written last.
	 */
	__u32 ready;
};

/*
 * The time stamps of one event, and what became of it.
 *
 * A slot is reused: it speaks of event `seq` only. Every stamp is a time
 * stamp counter reading of the side that wrote it; 0 means not (yet) stamped.
 * When the device saw a reply is not here: the device keeps that to itself.
 */
struct irqbed_trace_slot {
	/*
	 * Number of the event; written by the host.
	 */
	__u64 seq;
	/*
	 * Host TSC when the record was complete, just before it was published
	 * and the interrupt signalled.
	 */
	__u64 raise;
	/*
	 * Guest TSC at the entry of the interrupt handler; for the second and
	 * later events that one interrupt brings, when their record was taken.
	 */
	__u64 isr;
	/*
	 * Guest TSC when the notifier took the event over.
	 */
	__u64 notify;
	/*
	 * Guest TSC when the receiving process was back from its system call.
	 */
	__u64 user;
	/*
	 * What the receiver found: `VERDICT_*`; written last.
	 */
	__u32 verdict;
	/*
	 * Vector of the event; written by the host.
	 */
	__u32 vector;
	/*
	 * Guest TSC just before the receiving process replied.
	 */
	__u64 reply;
	/*
	 * Guest TSC when the driver was entered with the reply.
	 */
	__u64 command;
};

/*
 * Payload of [`MSG_SUBSCRIBE`].
 */
struct irqbed_subscribe_request {
	/*
	 * Bit `v` asks for the events of vector `v`; 0 is refused.
	 */
	__u32 vectors;
	/*
	 * Zero.
	 */
	__u32 reserved;
};

/*
 * Payload of [`MSG_EVENT`]; `payload_len` bytes follow.
 */
struct irqbed_event_message {
	/*
	 * Number of the event.
	 */
	__u64 seq;
	/*
	 * Index of the event's trace slot.
	 */
	__u32 slot;
	/*
	 * Vector of the event.
	 */
	__u32 vector;
	/*
	 * Length of the payload behind this structure, bytes.
	 */
	__u32 payload_len;
	/*
	 * `EVENT_*` bits of [`crate::ring`].
	 */
	__u32 flags;
};

/*
 * Argument of [`IOC_LISTEN`].
 */
struct irqbed_listen_request {
	/*
	 * Bit `v` asks for the events of vector `v`; 0 is refused.
	 */
	__u32 vectors;
	/*
	 * Size of the ring, bytes: a power of two from [`MIN_QUEUE`] to
	 * [`MAX_QUEUE`], or 0 for [`DEFAULT_QUEUE`].
	 */
	__u32 size;
	/*
	 * Descriptor of an eventfd that is signalled for each event, where the
	 * driver was loaded to do so; otherwise [`NO_EVENTFD`].
	 */
	__u32 eventfd;
	/*
	 * Zero.
	 */
	__u32 reserved;
};

/*
 * Argument of [`IOC_WAIT`].
 */
struct irqbed_wait_request {
	/*
	 * Address of the buffer.
	 */
	__u64 buffer;
	/*
	 * Its length, bytes.
	 */
	__u32 len;
	/*
	 * Answer: bytes of the event in the buffer; 0 when no more will come.
	 */
	__u32 received;
};

/*
 * First page of the mapping: written by the driver alone.
 */
struct irqbed_queue_header {
	/*
	 * Bytes ever put into the ring; written after them.
	 */
	__u64 head;
	/*
	 * Events that found no room.
	 */
	__u64 dropped;
	/*
	 * Size of the ring, bytes.
	 */
	__u32 size;
	/*
	 * 1 when no more events come; written after the last head.
	 */
	__u32 stopped;
};

/*
 * Second page of the mapping: written by whoever takes the events.
 */
struct irqbed_queue_tail {
	/*
	 * Bytes ever taken out of the ring. The driver overwrites what is before
	 * it, and takes a tail that makes no sense for a full ring.
	 */
	__u64 tail;
};

/*
 * A reply to one event.
 */
struct irqbed_reply_request {
	/*
	 * Number of the event.
	 */
	__u64 seq;
	/*
	 * Index of the event's trace slot; refused where it speaks of another
	 * event by now.
	 */
	__u32 slot;
	/*
	 * Zero.
	 */
	__u32 reserved;
};

/*
 * The driver's counters since it was loaded.
 *
 * One event makes one delivery per subscriber by unicast, one by broadcast.
 * Each delivery ends in exactly one of `sent`, `socket_full`, `queue_full`,
 * `listener_gone`, `no_memory`; an event that nobody asked for counts once in
 * `no_listener`.
 */
struct irqbed_counters {
	/*
	 * Interrupts taken.
	 */
	__u64 interrupts;
	/*
	 * Interrupts that found no new record: an earlier one had brought it, or
	 * the device had none to bring.
	 */
	__u64 merged_interrupts;
	/*
	 * Records taken from the rings.
	 */
	__u64 events;
	/*
	 * Deliveries the kernel accepted.
	 */
	__u64 sent;
	/*
	 * Events that no listener was there for.
	 */
	__u64 no_listener;
	/*
	 * Deliveries dropped because the listener's socket was full.
	 */
	__u64 socket_full;
	/*
	 * Deliveries to a listener that had just gone.
	 */
	__u64 listener_gone;
	/*
	 * Deliveries that found no memory.
	 */
	__u64 no_memory;
	/*
	 * Records that made no sense (payload outside its area, slot out of
	 * range) and were dropped.
	 */
	__u64 bad_record;
	/*
	 * Requests refused: unknown, malformed, or not permitted.
	 */
	__u64 bad_request;
	/*
	 * Listeners that died without unsubscribing and were forgotten.
	 */
	__u64 listeners_forgotten;
	/*
	 * Subscribers by unicast, and files with a queue, right now.
	 */
	__u64 subscribers;
	/*
	 * Deliveries dropped because the queue of the listener's file was full.
	 */
	__u64 queue_full;
	/*
	 * Events cut short for a reader whose buffer had no room for them.
	 */
	__u64 truncated;
	/*
	 * Replies of processes that were passed on to the device.
	 */
	__u64 replies;
	/*
	 * Replies refused: malformed, not permitted, of a slot that does not
	 * exist or speaks of another event, or with no device to take them.
	 */
	__u64 bad_reply;
	/*
	 * Times that the watchdog took records that no interrupt had announced, or
	 * armed a ring anew because of a record that never became complete.
	 */
	__u64 rescues;
	/*
	 * Times that the device was set up anew: it had been reset, had stopped,
	 * or had been gone.
	 */
	__u64 recoveries;
	/*
	 * Records that never became complete, and were passed over.
	 */
	__u64 missing_record;
};

static_assert(sizeof(struct irqbed_event_record) == 32);
static_assert(offsetof(struct irqbed_event_record, seq) == 0);
static_assert(offsetof(struct irqbed_event_record, payload_offset) == 8);
static_assert(offsetof(struct irqbed_event_record, payload_len) == 12);
static_assert(offsetof(struct irqbed_event_record, slot) == 16);
static_assert(offsetof(struct irqbed_event_record, flags) == 20);
static_assert(offsetof(struct irqbed_event_record, number) == 24);
static_assert(offsetof(struct irqbed_event_record, ready) == 28);
static_assert(sizeof(struct irqbed_trace_slot) == 64);
static_assert(offsetof(struct irqbed_trace_slot, seq) == 0);
static_assert(offsetof(struct irqbed_trace_slot, raise) == 8);
static_assert(offsetof(struct irqbed_trace_slot, isr) == 16);
static_assert(offsetof(struct irqbed_trace_slot, notify) == 24);
static_assert(offsetof(struct irqbed_trace_slot, user) == 32);
static_assert(offsetof(struct irqbed_trace_slot, verdict) == 40);
static_assert(offsetof(struct irqbed_trace_slot, vector) == 44);
static_assert(offsetof(struct irqbed_trace_slot, reply) == 48);
static_assert(offsetof(struct irqbed_trace_slot, command) == 56);
static_assert(sizeof(struct irqbed_subscribe_request) == 8);
static_assert(offsetof(struct irqbed_subscribe_request, vectors) == 0);
static_assert(offsetof(struct irqbed_subscribe_request, reserved) == 4);
static_assert(sizeof(struct irqbed_event_message) == 24);
static_assert(offsetof(struct irqbed_event_message, seq) == 0);
static_assert(offsetof(struct irqbed_event_message, slot) == 8);
static_assert(offsetof(struct irqbed_event_message, vector) == 12);
static_assert(offsetof(struct irqbed_event_message, payload_len) == 16);
static_assert(offsetof(struct irqbed_event_message, flags) == 20);
static_assert(sizeof(struct irqbed_listen_request) == 16);
static_assert(offsetof(struct irqbed_listen_request, vectors) == 0);
static_assert(offsetof(struct irqbed_listen_request, size) == 4);
static_assert(offsetof(struct irqbed_listen_request, eventfd) == 8);
static_assert(offsetof(struct irqbed_listen_request, reserved) == 12);
static_assert(sizeof(struct irqbed_wait_request) == 16);
static_assert(offsetof(struct irqbed_wait_request, buffer) == 0);
static_assert(offsetof(struct irqbed_wait_request, len) == 8);
static_assert(offsetof(struct irqbed_wait_request, received) == 12);
static_assert(sizeof(struct irqbed_queue_header) == 24);
static_assert(offsetof(struct irqbed_queue_header, head) == 0);
static_assert(offsetof(struct irqbed_queue_header, dropped) == 8);
static_assert(offsetof(struct irqbed_queue_header, size) == 16);
static_assert(offsetof(struct irqbed_queue_header, stopped) == 20);
static_assert(sizeof(struct irqbed_queue_tail) == 8);
static_assert(offsetof(struct irqbed_queue_tail, tail) == 0);
static_assert(sizeof(struct irqbed_reply_request) == 16);
static_assert(offsetof(struct irqbed_reply_request, seq) == 0);
static_assert(offsetof(struct irqbed_reply_request, slot) == 8);
static_assert(offsetof(struct irqbed_reply_request, reserved) == 12);
static_assert(sizeof(struct irqbed_counters) == 152);
static_assert(offsetof(struct irqbed_counters, interrupts) == 0);
static_assert(offsetof(struct irqbed_counters, merged_interrupts) == 8);
static_assert(offsetof(struct irqbed_counters, events) == 16);
static_assert(offsetof(struct irqbed_counters, sent) == 24);
static_assert(offsetof(struct irqbed_counters, no_listener) == 32);
static_assert(offsetof(struct irqbed_counters, socket_full) == 40);
static_assert(offsetof(struct irqbed_counters, listener_gone) == 48);
static_assert(offsetof(struct irqbed_counters, no_memory) == 56);
static_assert(offsetof(struct irqbed_counters, bad_record) == 64);
static_assert(offsetof(struct irqbed_counters, bad_request) == 72);
static_assert(offsetof(struct irqbed_counters, listeners_forgotten) == 80);
static_assert(offsetof(struct irqbed_counters, subscribers) == 88);
static_assert(offsetof(struct irqbed_counters, queue_full) == 96);
static_assert(offsetof(struct irqbed_counters, truncated) == 104);
static_assert(offsetof(struct irqbed_counters, replies) == 112);
static_assert(offsetof(struct irqbed_counters, bad_reply) == 120);
static_assert(offsetof(struct irqbed_counters, rescues) == 128);
static_assert(offsetof(struct irqbed_counters, recoveries) == 136);
static_assert(offsetof(struct irqbed_counters, missing_record) == 144);
static_assert(IRQBED_IOC_LISTEN == 0x4010b501);
static_assert(IRQBED_IOC_STOP == 0xb502);
static_assert(IRQBED_IOC_WAIT == 0xc010b503);
static_assert(IRQBED_IOC_REPLY == 0x4010b504);

#endif /* IRQBED_ABI_H */
