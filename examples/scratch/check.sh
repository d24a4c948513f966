#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# What is written to the scratch register is read back.
set -eu
for device in /sys/bus/pci/drivers/scratch/0000:*; do
  for value in 0x00000000 0x12345678 0xffffffff; do
    echo "$value" >"$device/scratch"
    read -r found <"$device/scratch"
    echo "${device##*/}: wrote $value, read $found"
    [ "$found" = "$value" ]
  done
done
