#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Uses QEMU's educational device from a shell in the guest, with no driver:
#   ./just try --device edu --agent examples/edu/check.sh
set -eu
fail() { echo "edu: $*" >&2; exit 1; }
for device in /sys/bus/pci/devices/*; do
  [ "$(cat "$device/vendor")$(cat "$device/device")" != 0x12340x11e8 ] || edu=$device
done
[ -n "${edu:-}" ] || fail 'there is no such device'
echo 1 >"$edu/enable"
bar=$(head -n 1 "$edu/resource" | cut -d ' ' -f 1)
get() { devmem $((bar + $1)) 32; }
set_to() { devmem $((bar + $1)) 32 "$2"; }

[ "$(get 0x00)" = 0x010000ED ] || fail "identification is $(get 0x00)"
set_to 0x04 0x12345678
[ "$(get 0x04)" = 0xEDCBA987 ] || fail "liveness is $(get 0x04)"
set_to 0x08 10
tries=0
while [ $(($(get 0x20) & 1)) -ne 0 ]; do
  tries=$((tries + 1))
  [ $tries -lt 1000 ] || fail 'the factorial does not end'
done
[ $(($(get 0x08))) -eq 3628800 ] || fail "the factorial of 10 is $(get 0x08)"
echo 1 >"$edu/reset"
[ "$(get 0x04)" = 0x00000000 ] || fail 'a reset leaves things behind'
echo "edu: ${edu##*/} works"
