#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Two cards that are up leave no memory for the queues of the third one (short.toml).
# They have it as soon as the two are down.
for other in eth0 eth1; do ip link set $other up; done
# Finds the last card.
. ./wire.sh
[ "$nic" = eth2 ] || fail "$nic is not the third card"
if reach; then fail 'there was memory for three cards'; fi
for other in eth0 eth1; do ip link set $other down; done
# Ten times as long as its driver waits before it tries again.
sleep 1
reach || fail 'its queues stay without buffers'
echo "nic-lite: $nic works as soon as there is memory"
