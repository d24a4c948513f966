#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# module.sh [--kernel NAME] [MAKE-ARGUMENT...]: builds the driver against the
# guest's kernel, as .irqbed/module/irqbed.ko, or against one of another name,
# as .irqbed/kernels/NAME/module/irqbed.ko. With arguments (W=1, C=2) it is a
# trial: everything is built anew in another folder, and what make says is
# shown. The source tree stays clean.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
source=$ROOT/guest-kmod home=$STORE
if [ "${1:-}" = --kernel ]; then
  home=$STORE/kernels/$2 IRQBED_KDIR=
  shift 2
fi
out=$home/module
kdir=${IRQBED_KDIR:-$home/kernel/build}
[ -f "$kdir/Makefile" ] || die "no kernel headers at $kdir: run ./just setup, or set IRQBED_KDIR to a folder that has them"
kdir=$(cd "$kdir" && pwd -P)
[ -f "$kdir/include/config/kernel.release" ] ||
  die "$kdir is not prepared for building modules: it lacks include/config/kernel.release"
release=$(cat "$kdir/include/config/kernel.release")
case $kdir$out in
  *[[:space:]:]*) die "the kernel's makefiles cannot work below $ROOT, because of a space or colon in the name: move the checkout" ;;
esac

# make would look at the whole tree to find out that nothing has changed.
sum() { find "$1" -type f -exec cksum {} + | sort -k 3; }
made_from=$(sum "$source" && ls -l --time-style=full-iso "$kdir/Module.symvers" && echo "$release")
is_current() { [ -f "$out/irqbed.ko" ] && [ "$(cat "$out/made-from" 2>/dev/null)" = "$made_from" ]; }
[ $# -gt 0 ] || ! is_current || exit 0
lock
[ $# -gt 0 ] || ! is_current || exit 0

"$IMAGES/tools.sh" make
build=$out/build
[ $# -eq 0 ] || build=$out/trial
mkdir -p "$out"
# Objects of another kernel, and files that are no more.
if [ $# -gt 0 ] || [ "$(cat "$build.for" 2>/dev/null)" != "$kdir $(cd "$source" && find . -type f | sort | cksum)" ]; then
  rm -rf "$build"
fi
mkdir -p "$build"
cp -RpL "$source/." "$build"
printf '%s\n' "$kdir $(cd "$source" && find . -type f | sort | cksum)" >"$build.for"

# Type information would need the symbols of vmlinux, and a tool of its own.
make=(make -C "$kdir" M="$build" -j"$(nproc)" CONFIG_DEBUG_INFO_BTF_MODULES=)
# Debian's headers ask for the compiler of their release by name.
if grep -qs 'gcc-12$' "$kdir/.kernelvariables" && ! command -v x86_64-linux-gnu-gcc-12 >/dev/null; then
  make+=(CC=gcc)
fi
if [ $# -gt 0 ]; then
  exec "${make[@]}" "$@" modules
fi
rm -f "$out/made-from"
run module "${make[@]}" modules || die "the driver does not build for $release: $(why module)"
[ -f "$build/irqbed.ko" ] || die "guest-kmod/ builds no irqbed.ko: see its Kbuild file"
cp "$build/irqbed.ko" "$out/irqbed.ko.new"
mv "$out/irqbed.ko.new" "$out/irqbed.ko"
printf '%s\n' "$made_from" >"$out/made-from"
say "module: built for $release"
