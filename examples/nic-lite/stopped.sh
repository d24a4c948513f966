#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# A queue of the card stops in the middle, as a write to memory fails
# (stopped.toml). Packets may be lost then; the ones after it must arrive.
. ./wire.sh

tries=0
until dmesg | grep "nic_lite.*$nic: restarts, errors"; do
  tries=$((tries + 1))
  [ $tries -le 100 ] || fail 'no queue has stopped, or its driver does not know'
  reach || true
done
# The restart has begun when it is logged, and takes a moment.
until reach; do
  tries=$((tries + 1))
  [ $tries -le 110 ] || fail 'the queue stays as it is'
done
head -c 1000000 /dev/urandom >/tmp/sent
nc -l -p 7 -e cat &
until netstat -lnt | grep -q ':7 '; do sleep 0.1; done
nc 192.0.2.2 7 </tmp/sent >/tmp/received
cmp /tmp/sent /tmp/received || fail 'a file is not what was sent'
echo "nic-lite: $nic works again"
