#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# The guest's kernel, a stock Debian one, in .irqbed/kernel: the image
# uncompressed (it boots by PVH and saves the guest the unpacking), its
# modules, and the headers as a folder that modules build against.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
# What the user puts in place need not be fetched.
wanted=
[ -n "${IRQBED_KERNEL:-}" ] || wanted=image
[ -n "${IRQBED_KDIR:-}" ] || wanted+=headers
[ -n "$wanted" ] || exit 0
recipe="3 $KERNEL_RELEASE"
is_there() { sealed "$STORE/kernel" "$recipe $wanted" || sealed "$STORE/kernel" "$recipe imageheaders"; }
is_there && exit 0
lock
is_there && exit 0
# shellcheck source=images/apt.sh
. "$IMAGES/apt.sh"
started=$SECONDS
room 450 'the guest kernel'
apt_ready bookworm
release=$KERNEL_RELEASE
if [ -z "$(newest "linux-image-$release")" ]; then
  release=$(apt-cache -c "$APT/apt.conf" search --names-only \
    "^linux-image-${KERNEL_SERIES//./[.]}[.][0-9]+${KERNEL_FLAVOUR//+/[+]}\$" |
    sed -E 's/^linux-image-([^ ]+) .*/\1/' | sort -V | tail -n 1)
  [ -n "$release" ] ||
    die "the Debian mirror has no $KERNEL_SERIES kernel: put your own in place by IRQBED_KERNEL and IRQBED_KDIR"
  say "kernel: the archive has moved on from $KERNEL_RELEASE to $release"
fi
common=${release%-*}
packages=()
[[ $wanted != *image* ]] || packages+=("linux-image-$release")
# libelf1 is for objtool, which a build of modules runs.
[[ $wanted != *headers* ]] ||
  packages+=("linux-headers-$release" "linux-headers-$common-common" "linux-kbuild-$common" libelf1)
new=$STORE/kernel.new
rm -rf "$new"
mkdir -p "$new"
unpack "kernel: fetching $release" "$new" "${packages[@]}"
printf '%s\n' "$release" >"$new/release"

# The payload of a bzImage lies behind its real-mode sectors, and a length
# stands behind it (Linux boot protocol 2.08).
extract_image() {
  local image=$new/boot/vmlinuz-$release sectors offset length
  sectors=$(od -An -tu1 -j 497 -N 1 "$image")
  offset=$(od -An -tu4 -j 584 -N 4 "$image")
  length=$(od -An -tu4 -j 588 -N 4 "$image")
  # tail is cut off when head has enough.
  { tail -c "+$(((sectors + 1) * 512 + offset + 1))" "$image" || true; } | head -c "$((length - 4))" >"$new/vmlinux.zst"
  plain "$new/vmlinux.zst" >"$new/vmlinux"
  rm "$new/vmlinux.zst"
  # Xen's note 18 is the address that PVH starts at.
  readelf --notes "$new/vmlinux" | grep -q '^ *Xen .*0x00000012'
}
if [[ $wanted == *image* ]]; then
  # Not `extract_image || die`, in which bash would let commands fail unnoticed.
  extract_image >"$STORE/log/kernel-image.log" 2>&1 &
  wait $! ||
    die "no kernel that starts by PVH came out of vmlinuz-$release: $(why kernel-image)"
  mv "$new/boot/config-$release" "$new/config"
  rm -rf "${new:?}/boot"
  ln -s "lib/modules/$release" "$new/modules"
  rm -f "$new/modules"/{build,source}
fi

# Debian's headers include their common half by an absolute path.
if [[ $wanted == *headers* ]]; then
  headers=usr/src/linux-headers-$release
  kbuild=$new/usr/lib/linux-kbuild-$common
  # shellcheck disable=SC2016 # make's variables, not ours
  printf 'include $(dir $(lastword $(MAKEFILE_LIST)))../linux-headers-%s-common/Makefile\n' "$common" >"$new/$headers/Makefile"
  # Most of the files are for other processors.
  find "$new/usr/src/linux-headers-$common-common/arch" -mindepth 1 -maxdepth 1 -type d ! -name x86 ! -name um -exec rm -rf {} +
  # objtool finds the library that a small system lacks.
  mkdir "$kbuild/lib"
  cp -P "$new"/usr/lib/x86_64-linux-gnu/libelf* "$kbuild/lib/"
  rm -r "$new/usr/lib/x86_64-linux-gnu"
  cat >"$kbuild/tools/objtool/objtool" <<'LAUNCHER'
#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
here=${0%/*}
LD_LIBRARY_PATH=$here/../../lib exec "$here/objtool.real-x86" "$@"
LAUNCHER
  for tool in scripts/mod/modpost scripts/basic/fixdep tools/objtool/objtool; do
    [ -x "$kbuild/$tool" ] || die "the headers of $release lack $tool"
  done
  [ -f "$new/config" ] || cp "$new/$headers/.config" "$new/config"
  ln -s "$headers" "$new/build"
fi
rm -rf "${new:?}/usr/share"
seal "$new" "$recipe $wanted"
replace "$new" "$STORE/kernel"
say "kernel: ready in $((SECONDS - started)) s"
