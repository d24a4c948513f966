#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Sourced by the tests: finds the card's interface, and gives it two addresses
# between which everything goes over the wire.
set -eu
fail() { echo "nic-lite: $*" >&2; exit 1; }
for net in /sys/bus/pci/drivers/nic_lite/0000:*/net/*; do
  [ -e "$net" ] || fail 'the driver has no card'
done
nic=${net##*/}
reach() { ping -c 1 -W 1 -s 1400 -I 192.0.2.1 192.0.2.2 >/dev/null; }

# The kernel keeps to itself what goes from one of its addresses to another;
# what it sends must ask the other tables first, where only the card leads there.
ip link set lo up
ip link set "$nic" up
ip addr add 192.0.2.1/24 dev "$nic"
ip addr add 192.0.2.2/24 dev "$nic"
ip rule add pref 100 iif "$nic" lookup local
ip rule add pref 101 lookup main
ip rule add pref 200 lookup local
ip rule del pref 0
for key in accept_local=1 rp_filter=0; do
  for of in all "$nic"; do echo "${key#*=}" >"/proc/sys/net/ipv4/conf/$of/${key%=*}"; done
done
