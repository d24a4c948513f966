#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# removed.sh: a device is removed while a process waits for it, and comes back.
set -eu
fail() { echo "peers: $*" >&2; exit 1; }

# Waits for an interrupt, raises one, and says how often it interrupted.
interrupt() {
  device=$(echo /sys/bus/pci/drivers/irqbed_peers/0000:*)
  bar=$(head -n 1 "$device/resource" | cut -d ' ' -f 1)
  dd bs=8 count=1 status=none <&3 >/tmp/count &
  devmem $((bar + 0x60)) 32 1
  wait $!
  od -A n -t u8 /tmp/count | tr -d ' '
}

exec 3<>/dev/peer-edu
[ "$(interrupt)" = 1 ] || fail 'it does not interrupt'
! (exec 4<>/dev/peer-edu) 2>/dev/null || fail 'two processes can have it'
dd bs=8 count=1 status=none <&3 2>/tmp/said &
# It should sleep in read(); whether it does changes nothing.
sleep 0.2
echo 1 >"$(echo /sys/bus/pci/drivers/irqbed_peers/0000:*)/remove"
! wait $! || fail 'a device that is gone can be read'
cat /tmp/said
grep -q 'No such device' /tmp/said || fail 'whoever waited was told something else'
[ ! -e /dev/peer-edu ] || fail 'the device file stays'
exec 3<&-

echo 1 >/sys/bus/pci/rescan
exec 3<>/dev/peer-edu
[ "$(interrupt)" = 1 ] || fail 'it does not interrupt when it has come back'
echo 'peers: the device was removed, and works again'
