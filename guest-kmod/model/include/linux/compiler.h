/* SPDX-License-Identifier: GPL-2.0 */
/* What irqbed_ring_consumer.h needs of the kernel's header of this name. */
#ifndef MODEL_COMPILER_H
#define MODEL_COMPILER_H

#undef __always_inline
#define __always_inline	inline __attribute__((__always_inline__))
#define READ_ONCE(x)	(*(const volatile __typeof__(x) *)&(x))
#define unlikely(x)	__builtin_expect(!!(x), 0)

#endif
