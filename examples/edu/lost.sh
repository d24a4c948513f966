#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# lost.sh: the device's second interrupt is lost (lost.toml). The driver (edu.c)
# must find out by itself that the transfer is over.
set -eu
fail() { echo "edu: $*" >&2; exit 1; }

head -c 4096 /dev/urandom >/tmp/data
dd if=/dev/zero of=/dev/edu bs=4096 count=1 status=none || fail 'the first transfer fails'
dd if=/tmp/data of=/dev/edu bs=4096 status=none || fail 'the driver waits for the interrupt alone'
dd if=/dev/edu of=/tmp/back bs=4096 status=none
cmp /tmp/data /tmp/back || fail 'the buffer is not what was written'
echo 'edu: a transfer ends without its interrupt'
