#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# stuck.sh: from some moment on the device says that it is busy, and never
# interrupts (stuck.toml). It is pulled while six processes wait for it.
set -eu
fail() { echo "edu: $*" >&2; exit 1; }
use() { dd bs=1 count=1 status=none <&3 2>&1 >/dev/null; }

echo 'edu: no device'
until [ -e /dev/edu ]; do sleep 0.1; done
exec 3</dev/edu
use || fail 'it does not work'
echo 'edu: it works'
# Whoever waits too long is ended by the scenario's limit.
while said=$(use); do sleep 0.1; done
echo "$said"

for n in 1 2 3 4 5 6; do
  # Until it is gone, not only given up.
  { while said=$(use) || [ "${said%timed out}" != "$said" ]; do :; done; echo "$said" >/tmp/said.$n; } &
done
echo 'edu: six processes wait'
wait
cat /tmp/said.*
[ "$(cat /tmp/said.* | grep -c 'No such device')" -eq 6 ] || fail 'some ended otherwise'
while [ -e /dev/edu ]; do sleep 0.1; done
echo 'edu: the device is gone, and nobody waits for it'
