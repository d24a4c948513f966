#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# initramfs.sh OUT AGENT MODULE: the guest's file system, a cpio archive that
# is not compressed (unpacking would cost the guest more than reading).
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
[ $# -eq 3 ] || die "usage: initramfs.sh OUT AGENT MODULE"
lock
out=$1 agent=$2 module=$3
"$IMAGES/tools.sh" busybox
busybox=$(find "$STORE/tools/busybox" -name busybox -type f -perm -1 | head -n 1)
is_current() {
  local input
  for input in "$agent" "$module" "$busybox" "$0"; do [ "$out" -nt "$input" ] || return 1; done
}
is_current && exit 0

tree=$STORE/initramfs.new
rm -rf "$tree"
mkdir -p "$tree"/{bin,dev,etc,lib/modules,mnt,proc,run,sys,tmp}
cp "$agent" "$tree/init"
strip "$tree/init" 2>/dev/null || true
cp "$busybox" "$tree/bin/busybox"
for applet in $("$busybox" --list); do ln -s busybox "$tree/bin/$applet" 2>/dev/null || true; done
cp "$module" "$tree/lib/modules/irqbed.ko"
strip -g "$tree/lib/modules/irqbed.ko"
chmod -R u=rwX,go=rX "$tree"
find "$tree" -exec touch -h -d @0 {} +
# -R makes root the owner whoever runs this.
(cd "$tree" && find . | LC_ALL=C sort | "$busybox" cpio -o -H newc -R 0:0) >"$out.new" 2>"$STORE/log/initramfs.log" ||
  die "cannot write $out: is the disk full?"
mv "$out.new" "$out"
rm -rf "$tree"
