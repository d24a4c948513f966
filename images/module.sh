#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# module.sh [--kernel NAME] [MAKE-ARGUMENT...]: builds the driver against the
# guest's kernel, as .irqbed/module/irqbed.ko, or against one of another name,
# as .irqbed/kernels/NAME/module/irqbed.ko. With arguments (W=1, C=2) it is a
# trial: everything is built anew in another folder, and what make says is
# shown. The source tree stays clean.
# module.sh [--kernel NAME] --dir FOLDER [MAKE-ARGUMENT...]: builds somebody's own
# modules in their folder, as the kernel's makefiles do it, and prints where they
# are.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
source=$ROOT/guest-kmod home=$STORE folder=
while [ $# -gt 0 ]; do
  case $1 in
    --kernel)
      [ -n "${2:-}" ] || die "--kernel needs the name of a kernel"
      [ "$2" = "$KERNEL" ] || home=$STORE/kernels/$2
      [ -d "$home/kernel" ] || die "there is no kernel $2: run ./just kernel $2, or leave out --kernel"
      IRQBED_KDIR=
      ;;
    --dir)
      [ -d "${2:-}" ] || die "there is no folder '${2:-}': give the folder of your module's sources"
      folder=$(cd "$2" && pwd -P)
      ;;
    *) break ;;
  esac
  shift 2
done
out=$home/module
kdir=${IRQBED_KDIR:-$home/kernel/build}
[ -f "$kdir/Makefile" ] || die "no kernel headers at $kdir: run ./just setup, or set IRQBED_KDIR to a folder that has them"
kdir=$(cd "$kdir" && pwd -P)
[ -f "$kdir/include/config/kernel.release" ] ||
  die "$kdir is not prepared for building modules: it lacks include/config/kernel.release"
release=$(cat "$kdir/include/config/kernel.release")
check_path
case $kdir in
  *[[:space:]:]*) die "the kernel's makefiles cannot work in '$kdir', because of a space or colon in the name: set IRQBED_KDIR to another folder" ;;
esac

# Type information would need the symbols of vmlinux, and a tool of its own.
make=(make -C "$kdir" -j"$(nproc)" CONFIG_DEBUG_INFO_BTF_MODULES=)
compiler=$("$IMAGES/compiler.sh" "$kdir")
if [ -n "$compiler" ]; then
  PATH=${compiler%/*}:$PATH
  make+=(CROSS_COMPILE=x86_64-linux-gnu- "CC=${compiler##*/}")
elif asked=$(sed -n 's/^CC = .*(CROSS_COMPILE)\(gcc-[0-9]*\)$/\1/p' "$kdir/.kernelvariables" 2>/dev/null) &&
  [ -n "$asked" ] && ! command -v "x86_64-linux-gnu-$asked" >/dev/null; then
  # Debian's headers ask for the compiler of their release by name.
  make+=(CC=gcc)
fi

if [ -n "$folder" ]; then
  [ -f "$folder/Kbuild" ] || [ -f "$folder/Makefile" ] ||
    die "$folder has no Kbuild file: it says what to build, as \`obj-m := mydriver.o\`"
  case $folder in
    *[[:space:]:]*) die "the kernel's makefiles cannot work in '$folder', because of a space or colon in the name" ;;
  esac
  "$IMAGES/tools.sh" make
  "${make[@]}" M="$folder" "$@" modules >&2 || die "the modules in $folder do not build for $release: see above"
  built=$(find "$folder" -name '*.ko')
  [ -n "$built" ] || die "$folder builds no module: its Kbuild file has no \`obj-m\`"
  printf '%s\n' "$built"
  exit
fi

# make would look at the whole tree to find out that nothing has changed.
sum() { find "$1" -type f -exec cksum {} + | sort -k 3; }
made_from=$(sum "$source" && ls -l --time-style=full-iso "$kdir/Module.symvers" && echo "$release" &&
  "${compiler:-gcc}" --version && cksum <"$0")
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
# The same driver to the byte, whatever folder it is built in; gcov writes there.
[ -n "${GCOV_PROFILE:-}" ] || make+=("KCFLAGS=-ffile-prefix-map=$STORE=. -ffile-prefix-map=$build=guest-kmod")
printf '%s\n' "$kdir $(cd "$source" && find . -type f | sort | cksum)" >"$build.for"

if [ $# -gt 0 ]; then
  exec "${make[@]}" M="$build" "$@" modules
fi
rm -f "$out/made-from"
run module "${make[@]}" M="$build" modules || die "the driver does not build for $release: $(why module)"
[ -f "$build/irqbed.ko" ] || die "guest-kmod/ builds no irqbed.ko: see its Kbuild file"
cp "$build/irqbed.ko" "$out/irqbed.ko.new"
mv "$out/irqbed.ko.new" "$out/irqbed.ko"
printf '%s\n' "$made_from" >"$out/made-from"
say "module: built for $release"
