/* SPDX-License-Identifier: GPL-2.0 */
/* What irqbed_ring_consumer.h needs of the kernel's header of this name. */
#ifndef MODEL_BARRIER_H
#define MODEL_BARRIER_H

#define dma_rmb()			__atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_load_acquire(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, v)		__atomic_store_n(p, v, __ATOMIC_RELEASE)

#endif
