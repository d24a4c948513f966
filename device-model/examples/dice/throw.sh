#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Throws the dice 600 times, in the guest, and says how often each face came.
set -eu
head -c 600 /dev/dice | od -A n -v -t u1 -w1 | sort | uniq -c
grep dice /proc/interrupts
