#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# The card's interface in the guest: a ping and a file go out of one of its
# addresses, over the wire, and in by the other. Then the card sleeps.
. ./wire.sh
card=$net/device
counter() { cat "$net/statistics/$1"; }

ping -c 5 -i 0.1 -s 1400 -I 192.0.2.1 192.0.2.2
head -c 1000000 /dev/urandom >/tmp/sent
nc -l -p 7 -e cat &
# It must listen first.
until netstat -lnt | grep -q ':7 '; do sleep 0.1; done
nc 192.0.2.2 7 </tmp/sent >/tmp/received
cmp /tmp/sent /tmp/received || fail 'a file is not what was sent'
echo "nic-lite: $(wc -c </tmp/received) bytes received as they were sent"

# The wire is a loop: all that was sent has come back, unless the card had no
# buffer for it.
ip link set "$nic" down
sent=$(counter tx_packets) received=$(counter rx_packets)
[ "$sent" -ge 1000 ] || fail "only $sent packets went over the wire"
missed=$(counter rx_missed_errors)
echo "nic-lite: $sent packets sent = $received received + $missed missed"
[ "$sent" -eq $((received + missed)) ] || fail 'packets are lost'
grep nic_lite /proc/interrupts

[ "$(cat "$card/power_state")" = D0 ] || fail 'it sleeps without being allowed to'
echo auto >"$card/power/control"
until [ "$(cat "$card/power_state")" = D3hot ]; do sleep 0.1; done
ip link set "$nic" up
[ "$(cat "$card/power_state")" = D0 ] || fail 'it does not wake'
ping -c 1 -I 192.0.2.1 192.0.2.2 >/dev/null || fail 'nothing goes over the wire after a sleep'
echo "nic-lite: $nic works, and works after a sleep"
