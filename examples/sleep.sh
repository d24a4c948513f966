#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# The machine is sent to sleep while the devices are in use, at each level at
# which the kernel can try that. Afterwards all must be as before.
# shellcheck source=examples/nic-lite/wire.sh
. ./wire.sh
scratch=$(echo /sys/bus/pci/drivers/scratch/0000:*)
edu=$(echo /sys/bus/pci/drivers/edu/0000:*)

echo 0x5eed5eed >"$scratch/scratch"
echo 6 >"$edu/factorial"
head -c 4096 /dev/urandom >/tmp/buffer
dd if=/tmp/buffer of=/dev/edu bs=4096 status=none
reach || fail 'nothing goes over the wire'

# check WHEN: whether all is there.
check() {
  [ "$(cat "$scratch/scratch")" = 0x5eed5eed ] || fail "$1: the scratch register is $(cat "$scratch/scratch")"
  [ "$(cat "$edu/factorial")" = 720 ] || fail "$1: 6! is $(cat "$edu/factorial")"
  dd if=/dev/edu of=/tmp/back bs=4096 status=none
  cmp /tmp/buffer /tmp/back || fail "$1: edu has lost its buffer"
  reach || fail "$1: nothing goes over the wire"
  kill -0 "$pinging" || fail "$1: the ping that ran meanwhile has ended"
  echo "sleep: all works after $1"
}

ping -i 0.05 -I 192.0.2.1 192.0.2.2 >/tmp/ping &
pinging=$!
echo 0 >/sys/module/suspend/parameters/pm_test_delay
for state in freeze mem; do
  for level in devices platform; do
    echo $level >/sys/power/pm_test
    echo $state >/sys/power/state
    check "$state at the level $level"
  done
done
kill "$pinging"
