#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# plugged.sh: a device comes, goes while a process has it open, and comes again
# (plugged.toml, which knows each line by which this asks for it).
set -eu
fail() { echo "edu: $*" >&2; exit 1; }
devices() { ls -d /sys/bus/pci/drivers/edu/0000:* 2>/dev/null; }
# Whoever waits too long is ended by the scenario's limit.
wait_for_device() {
  until device=$(devices) && [ -e "$device/factorial" ]; do sleep 0.1; done
}
use() {
  echo 10 >"$device/factorial"
  [ "$(cat "$device/factorial")" = 3628800 ] || fail "10! is $(cat "$device/factorial")"
  head -c 4096 /dev/urandom >/tmp/data
  dd if=/tmp/data of=/dev/edu bs=4096 status=none
  dd if=/dev/edu of=/tmp/back bs=4096 status=none
  cmp /tmp/data /tmp/back || fail 'the buffer is not what was written'
  echo "edu: ${device##*/} works"
}

devices && fail 'there is a device already'
echo 'edu: no device'
wait_for_device
use

exec 3</dev/edu
echo 'edu: a file is open'
while devices >/tmp/left || [ -e /dev/edu ]; do sleep 0.1; done
if said=$(dd bs=1 count=1 status=none <&3 2>&1); then
  fail 'a device that is gone can be read'
fi
echo "$said"
exec 3<&-
echo 'edu: no device any more'

wait_for_device
use
