/* SPDX-License-Identifier: GPL-2.0 */
/* Keeps netlink from being tapped where that would be an error. */
#ifndef IRQBED_TAPS_H
#define IRQBED_TAPS_H

int irqbed_taps_exclude(void);
void irqbed_taps_allow(void);

#endif /* IRQBED_TAPS_H */
