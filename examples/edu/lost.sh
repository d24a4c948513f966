#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# lost.sh: the device's second interrupt is lost (lost.toml). The driver (edu.c)
# must give that transfer up and say so, and carry out the next one.
set -eu
fail() { echo "edu: $*" >&2; exit 1; }

head -c 4096 /dev/urandom >/tmp/data
dd if=/tmp/data of=/dev/edu bs=4096 status=none || fail 'the first transfer fails'
if said=$(dd if=/dev/zero of=/dev/edu bs=4096 status=none 2>&1); then
  fail 'nobody has missed an interrupt'
fi
echo "$said"
dd if=/tmp/data of=/dev/edu bs=4096 status=none || fail 'the device was given up for ever'
dd if=/dev/edu of=/tmp/back bs=4096 status=none
cmp /tmp/data /tmp/back || fail 'the buffer is not what was written'
echo 'edu: a transfer without an end was given up, and the next one works'
