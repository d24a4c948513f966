/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the module and the process agree on. bench/guest/src/peer.rs says the
 * same in Rust, and so does bench/src/ivshmem.rs for the shared memory.
 */
#ifndef IRQBED_PEERS_H
#define IRQBED_PEERS_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * The page at offset 0 of a device file: of ivshmem the begin of its shared
 * memory, which the host sees too, of edu a page of the kernel's.
 */
struct peer_page {
	/* Number of the event that was raised last; by who raises it. */
	__u64 raised;
	__u64 pad0[7];
	/* The time at the entry of the interrupt handler. */
	__u64 isr;
	__u64 pad1[7];
	/* The time in the process, and then the number of the event. */
	__u64 user;
	__u64 done;
};

/* The registers of edu begin at this offset of its device file. */
#define PEER_REGISTERS_OFFSET	0x1000

/* From now on interrupts are told by this eventfd, and not by read(). */
#define PEER_IOC_EVENTFD	_IOW(0xb6, 1, __s32)

#endif /* IRQBED_PEERS_H */
