#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# setup.sh [--no-fetch]: fetches and builds whatever is missing; what is there
# costs nothing. The downloads run while cargo compiles. Kernels of other names
# get driver and initramfs too, where they have been built.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
check_path
check_compilers
lock

# Before the rest is compiled: the downloads run meanwhile.
# shellcheck source=images/archive.sh
. "$IMAGES/archive.sh"

jobs_of_ours=()
stop() {
  local job
  trap - EXIT INT TERM HUP
  for job in "${jobs_of_ours[@]}"; do kill -- "-$job" 2>/dev/null || true; done
  exit "$1"
}
trap 'stop $?' EXIT
trap 'stop 130' INT
trap 'stop 143' TERM
trap 'stop 129' HUP

# In groups of their own, so that they can be stopped with all they started.
set -m
if [ "${1:-}" != --no-fetch ]; then
  "$IMAGES/qemu.sh" </dev/null &
  jobs_of_ours+=($!)
  { "$IMAGES/tools.sh" busybox && "$IMAGES/kernel.sh" && "$IMAGES/module.sh"; } </dev/null &
else
  "$IMAGES/module.sh" </dev/null &
fi
jobs_of_ours+=($!)
set +m

[ -x "$ROOT/target/release/irqbed" ] || say "cargo: compiling"
complete=yes
# The lock is not for a compiler's daemon to keep.
"$IMAGES/cargo.sh" host 9>&- || complete=
for job in "${jobs_of_ours[@]}"; do wait "$job" || complete=; done
jobs_of_ours=()
# By the compiler that was fetched for the driver.
[ -n "$complete" ] && "$IMAGES/cargo.sh" agent 9>&- || complete=
[ -n "$complete" ] || die "not everything is there: see above"

# initramfs HOME: for the kernel whose parts lie there.
initramfs() {
  local name module found places=("$1/kernel/lib/modules") modules=("$1/module/irqbed.ko")
  # The modules that the driver names as those it needs; the agent loads them
  # before it.
  if [ -n "${IRQBED_KDIR:-}" ]; then
    places=("$IRQBED_KDIR" "/lib/modules/$(cat "$IRQBED_KDIR/include/config/kernel.release")")
  fi
  for name in $(readelf -p .modinfo "${modules[0]}" | sed -n 's/.* depends=//p' | tr , ' '); do
    found=$(find "${places[@]}" -name "$name.ko*" ! -name '*.cmd' 2>/dev/null | head -n 1 || true)
    [ -n "$found" ] ||
      die "the driver needs the kernel's module $name, which is not below ${places[*]}: install that kernel's modules, or build it with $name inside"
    modules+=("$found")
  done
  # What of the kernel's own modules some mechanisms and tests need; the agent loads
  # them for those. Another kernel than ours has them built in, or does without.
  if [ -z "${IRQBED_KERNEL:-}" ]; then
    for module in virt/lib/irqbypass drivers/vfio/{vfio,vfio_iommu_type1,pci/vfio-pci-core,pci/vfio-pci} \
      drivers/net/nlmon drivers/uio/uio_pci_generic; do
      found=$(compgen -G "$1/kernel/modules/kernel/$module.ko*" || true)
      [ -z "$found" ] || modules+=("$found")
    done
    # Before 6.2 a part of vfio is a module of its own.
    found=$(echo "$1/kernel/modules/kernel/drivers/vfio/vfio_virqfd.ko"*)
    [ ! -f "$found" ] || modules+=("$found")
  fi
  "$IMAGES/initramfs.sh" "$1/initramfs.cpio" \
    "$ROOT/target/x86_64-unknown-linux-gnu/release/guest-agent" "${modules[@]}"
}
initramfs "$STORE"
# What the user puts in place is in the place of the stock kernel.
for kernel in "$STORE"/kernels/*/kernel/.complete; do
  [ -f "$kernel" ] || continue
  home=${kernel%/kernel/.complete}
  "$IMAGES/module.sh" --kernel "${home##*/}"
  IRQBED_KDIR='' IRQBED_KERNEL='' initramfs "$home"
done
