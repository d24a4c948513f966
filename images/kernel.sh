#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# The guest's kernel, a stock Debian one, in .irqbed/kernel: the image
# uncompressed (it boots by PVH and saves the guest the unpacking), its
# modules, and the headers as a folder that modules build against.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
lock
if [ -n "${IRQBED_KERNEL:-}" ] && [ -n "${IRQBED_KDIR:-}" ]; then exit 0; fi
sealed "$STORE/kernel" "$KERNEL_SUITE $KERNEL_SERIES" && exit 0
"$IMAGES/tools.sh" zstd
# shellcheck source=images/apt.sh
. "$IMAGES/apt.sh"
started=$SECONDS
apt_ready
release=$(apt-cache search --names-only "^linux-image-${KERNEL_SERIES//./[.]}[.][0-9]+${KERNEL_FLAVOUR//+/[+]}\$" |
  sed -E 's/^linux-image-([^ ]+) .*/\1/' | sort -V | tail -n 1)
[ -n "$release" ] ||
  die "the mirror has no $KERNEL_SERIES kernel in $KERNEL_SUITE: put your own in place by IRQBED_KERNEL and IRQBED_KDIR"
[ "$release" = "$KERNEL_MEASURED" ] || say "kernel: the archive has moved on to $release (last measured: $KERNEL_MEASURED)"
say "kernel: fetching $release and its headers"
new=$STORE/kernel.new
rm -rf "$new"
mkdir -p "$new"
unpack_only "$new" "linux-image-$release" "linux-headers-$release" \
  "linux-headers-${release%-*}-common" "linux-kbuild-${release%-*}"
image=$new/boot/vmlinuz-$release
[ -f "$image" ] || die "the package linux-image-$release holds no boot/vmlinuz-$release"

# The payload of a bzImage starts where its magic number stands (Linux boot
# protocol 2.08); bytes behind it make zstd complain, so the ELF magic decides.
offset=$(LC_ALL=C grep -abom 1 -P '\x28\xb5\x2f\xfd' "$image" | head -n 1 | cut -d : -f 1 || true)
[ -n "$offset" ] || die "vmlinuz-$release is not compressed by zstd"
tail -c "+$((offset + 1))" "$image" | zstd -dcq 2>/dev/null >"$new/vmlinux" || true
[ "$(head -c 4 "$new/vmlinux" | tail -c 3)" = ELF ] || die "no kernel came out of vmlinuz-$release"

# Debian's headers include their common half by an absolute path, and point
# to their tools by links that leave the folder.
headers=$new/usr/src/linux-headers-$release
# shellcheck disable=SC2016 # make's variables, not ours
printf 'include $(dir $(lastword $(MAKEFILE_LIST)))../linux-headers-%s-common/Makefile\n' "${release%-*}" >"$headers/Makefile"
[ -x "$headers/scripts/mod/modpost" ] || die "the headers of $release lack their tools"
ln -s "usr/src/linux-headers-$release" "$new/build"
printf '%s\n' "$release" >"$new/release"
mv "$new/boot/config-$release" "$new/config"
mv "$new/boot/System.map-$release" "$new/System.map"
rm -rf "${new:?}/boot" "${new:?}/usr/share"
seal "$new" "$KERNEL_SUITE $KERNEL_SERIES"
replace "$new" "$STORE/kernel"
say "kernel: done in $((SECONDS - started)) s"
