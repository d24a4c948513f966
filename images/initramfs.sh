#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# initramfs.sh OUT AGENT MODULE...: the guest's file system, a cpio archive that
# is not compressed (unpacking would cost the guest more than reading). Equal
# input makes it equal to the byte, whoever runs this: guests are compared.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
[ $# -ge 3 ] || die "usage: initramfs.sh OUT AGENT MODULE..."
out=$1 agent=$2
shift 2
release=${IRQBED_KDIR:-${out%/*}/kernel/build}/include/config/kernel.release
"$IMAGES/tools.sh" busybox
busybox=$STORE/tools/busybox/bin/busybox
is_current() {
  local input
  [ "$(cat "$out.of" 2>/dev/null)" = "$*" ] || return 1
  for input in "$agent" "$busybox" "$release" "$0" "$@"; do [ "$out" -nt "$input" ] || return 1; done
}
is_current "$@" && exit 0
lock
# shellcheck source=images/archive.sh
. "$IMAGES/archive.sh"
# Another release of it would leave other bytes.
linker=$("$IMAGES/compiler.sh" --linker)
strip() { "${linker:+${linker%/*}/x86_64-linux-gnu-}strip" "$@"; }
new=$STORE/initramfs.new
rm -rf "$new"
mkdir -p "$new"

# The "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst
# of the kernel): a header of hexadecimal fields, name and data, each filled up
# to four bytes. Everything belongs to root, and to no time.
inode=0
entry() { # MODE NAME SIZE
  inode=$((inode + 1))
  printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\0' \
    $inode $((8#$1)) 0 0 1 0 "$3" 0 0 0 0 $((${#2} + 1)) 0 "$2"
  fill $((110 + ${#2} + 1))
}
fill() {
  local zeros='\0\0\0'
  # shellcheck disable=SC2059 # the zeros are the format
  printf "${zeros:0:2*((4 - $1 % 4) % 4)}"
}
folder() { entry 40755 "$1" 0; }
file() { # MODE NAME CONTENT
  local size
  size=$(stat -c %s "$3")
  entry "10$1" "$2" "$size"
  cat "$3"
  fill "$size"
}
link() { # NAME TARGET
  entry 120777 "$1" ${#2}
  printf %s "$2"
  fill ${#2}
}
archive() {
  local applet module
  for name in bin dev etc lib lib/modules mnt proc root run sys tmp; do folder "$name"; done
  # Less to read at boot.
  strip -o "$new/init" "$agent"
  file 0755 init "$new/init"
  file 0755 bin/busybox "$busybox"
  for applet in $("$busybox" --list | sort); do
    [ "$applet" = busybox ] || link "bin/$applet" busybox
  done
  for module; do
    name=${module##*/}
    # Stock modules come compressed.
    case $name in
      *.xz | *.zst) plain "$module" >"$new/module" ;;
      *) cp "$module" "$new/module" ;;
    esac
    strip --strip-debug "$new/module"
    file 0644 "lib/modules/${name%%.ko*}.ko" "$new/module"
  done
  file 0644 etc/irqbed-release "$release"
  inode=-1
  entry 0 'TRAILER!!!' 0
}
# Not `archive || die`, in which bash would let commands fail unnoticed.
archive "$@" >"$new/cpio" 2>"$STORE/log/initramfs.log" &
wait $! || die "cannot write $out: $(why initramfs)"
mv "$new/cpio" "$out"
printf '%s\n' "$*" >"$out.of"
rm -rf "$new"
