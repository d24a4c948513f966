#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# driver.sh KIND: uses the educational device by its driver (edu.c), which is
# interrupted by that kind, as /proc/interrupts calls it.
set -eu
fail() { echo "edu: $*" >&2; exit 1; }
for device in /sys/bus/pci/drivers/edu/0000:*; do
  [ -e "$device" ] || fail 'the driver has no device'
done

echo 10 >"$device/factorial"
[ "$(cat "$device/factorial")" = 3628800 ] || fail "10! is $(cat "$device/factorial")"

# To the device, and back; then a part of it.
head -c 4096 /dev/urandom >/tmp/data
dd if=/tmp/data of=/dev/edu bs=4096 status=none
dd if=/dev/edu of=/tmp/back bs=4096 status=none
cmp /tmp/data /tmp/back || fail 'the buffer is not what was written'
printf 'in the middle' | tee /tmp/part | dd of=/dev/edu bs=1 seek=1000 status=none
dd if=/tmp/part of=/tmp/data bs=1 seek=1000 conv=notrunc status=none
cat /dev/edu >/tmp/back
cmp /tmp/data /tmp/back || fail 'the buffer is not what was written in part'

# One for the factorial, and one for each transfer: 2 whole ones, 13 bytes, and
# one to read all again.
grep -w edu /proc/interrupts | grep "$1" || fail "it does not interrupt by $1"
count=$(awk '$NF == "edu" { print $2 }' /proc/interrupts)
[ "$count" -ge 17 ] || fail "$count interrupts came"
echo "edu: ${device##*/} works by $1"
