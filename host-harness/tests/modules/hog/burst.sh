#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Sends eight packets at once where there is memory for the first four: the driver drops the
# others, and the card hears of the four although the last one is dropped.
set -eu
fail() { echo "nic-lite: $*" >&2; exit 1; }
for net in /sys/bus/pci/drivers/nic_lite/0000:*/net/*; do nic=${net##*/}; done
device=$(readlink "/sys/class/net/$nic/device")
# Nobody else sends.
echo 1 >"/proc/sys/net/ipv6/conf/$nic/disable_ipv6" 2>/dev/null || true
ip link set "$nic" up
count() { cat "/sys/class/net/$nic/statistics/tx_$1"; }
await_sent() {
  tries=0
  until [ "$(count packets)" = "$1" ]; do
    tries=$((tries + 1))
    [ $tries -le 50 ] || fail "$(count packets) of $1 sent, $(count dropped) dropped"
    sleep 0.1
  done
}
# pktgen's way to be told what to do.
say() { echo "$2" >"/proc/net/pktgen/$1"; }
say kpktgend_0 "add_device $nic"
for word in 'count 8' 'burst 8' 'pkt_size 60' 'dst 192.0.2.2' 'dst_mac 02:00:00:00:00:01'; do
  say "$nic" "$word"
done
insmod ./hog.ko device="${device##*/}" leave=4
say pgctrl start
await_sent 4
[ "$(count dropped)" = 4 ] || fail "$(count dropped) dropped"
rmmod hog
say pgctrl start
await_sent 12
echo 'nic-lite: a burst is sent as far as there was memory'
