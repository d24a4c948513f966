#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# In the guest, with the driver loaded: whether it has taken the device, which it
# does only if that works.
set -eu
for device in /sys/bus/pci/drivers/template/0000:*; do
  [ -e "$device" ] || { echo 'template: the driver has no device' >&2; exit 1; }
  echo "template: ${device##*/} works"
done
