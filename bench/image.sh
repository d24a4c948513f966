#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# image.sh [MAKE-ARGUMENT...]: the guest of the benches, as
# .irqbed/bench/initramfs.cpio: the one of setup, and behind it the module for the
# devices of QEMU that ours is compared with, the program that measures in the
# guest, and cyclictest with its libraries. What is there costs nothing. With
# arguments (W=1, C=2) it is a trial: the module is built anew in another folder,
# and what make says is shown.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/../images/lib.sh"
kdir=${IRQBED_KDIR:-$STORE/kernel/build} base=$STORE/initramfs.cpio
home=$STORE/bench out=$STORE/bench/initramfs.cpio
program=$ROOT/target/x86_64-unknown-linux-gnu/release/irqbed-bench-guest
need() { [ -f "$1" ] || die "there is no $1: run ./just setup"; }
need "$kdir/Makefile"
sources=("$ROOT"/bench/peers/*)

# module FOLDER [MAKE-ARGUMENT...]: builds it in a copy of the sources.
module() {
  rm -rf "$1"
  mkdir -p "$1"
  cp -p "${sources[@]}" "$1"
  "$IMAGES/setup.sh" modules "$@"
}
if [ $# -gt 0 ]; then
  module "$home/trial" "$@"
  exit
fi
need "$base"
mkdir -p "$home"
# One at a time.
exec 9>>"$home/lock"
flock 9

"$IMAGES/cargo.sh" bench-guest
"$IMAGES/setup.sh" tools busybox cyclictest
made_from=$(cksum "${sources[@]}" "$program" "$base" "$0" && ls -l --time-style=full-iso "$kdir/Module.symvers")
[ "$(cat "$out.of" 2>/dev/null)" != "$made_from" ] || exit 0

log=$STORE/log/bench-module.log
module "$home/module" >"$log" 2>&1 || die "the module of bench/peers does not build: $(tail -n 1 "$log") (log: $log)"
rm -rf "$home/root"
mkdir -p "$home/root"/{bin,lib/modules,lib64}
strip --strip-debug -o "$home/root/lib/modules/irqbed_peers.ko" "$home/module/irqbed_peers.ko"
strip -o "$home/root/bin/irqbed-bench-guest" "$program"
cyclictest=$STORE/tools/cyclictest library=lib/x86_64-linux-gnu
mkdir "$home/root/$library"
cp "$cyclictest/usr/bin/cyclictest" "$home/root/bin"
cp -L "$cyclictest/lib64/ld-linux-x86-64.so.2" "$home/root/lib64"
cp -L "$cyclictest/$library"/lib{c.so.6,pthread.so.0,rt.so.1} "$cyclictest/usr/$library/libnuma.so.1" "$home/root/$library"
# The kernel unpacks archives one after the other into the same tree.
archive() { (cd "$home/root" && find bin/* lib/modules/* "$library" lib64 | "$STORE/tools/busybox/bin/busybox" cpio -o -H newc 2>/dev/null); }
{ cat "$base" && archive; } >"$out.new"
mv "$out.new" "$out"
printf '%s\n' "$made_from" >"$out.of"
