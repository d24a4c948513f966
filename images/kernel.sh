#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# kernel.sh [NAME]: a stock Debian kernel (images/versions has their names), or
# the one that checks: the image uncompressed (it boots by PVH and saves the
# guest the unpacking) and as it was (a guest that is suspended to RAM resumes
# from no other), its modules, and the headers as a folder that modules build
# against, with a compiler that can. In .irqbed/kernels/NAME/kernel; the
# guest's own kernel, which is the one without a name, in .irqbed/kernel.
# kernel.sh --list: the names, and which of them are here.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
# The debug kernel.
debug=$KERNEL-debug

# describe NAME: its archive, and its release in three parts. The flavour stands
# before the architecture.
describe() {
  local flavour=
  case $1 in
    *-rt) flavour=-rt ;;
    *-cloud) flavour=-cloud ;;
  esac
  read -r suite fixed number rest < <(awk -v name="${1%"$flavour"}" '$1 == name { print $2, $3, $4, $5 }' <<<"$KERNELS") ||
    return 1
  rest=${rest%-amd64}$flavour-amd64
}

list() {
  local name flavour note
  while read -r name _; do
    [ -n "$name" ] || continue
    for flavour in '' -rt -cloud; do
      describe "$name$flavour"
      note=
      [ "$name$flavour" != "$KERNEL" ] || note=' (the guest'\''s, where no other is named)'
      printf '%-11s Linux %s, Debian%s%s\n' "$name$flavour" "$fixed$number$rest" "$note" "$(here "$name$flavour")"
    done
  done <<<"$KERNELS"
  printf '%-11s built from the source of %s, checks locks, memory and contexts%s\n' "$debug" "$KERNEL" "$(here "$debug")"
}

here() {
  local release
  ! release=$(cat "$(home_of "$1")/kernel/release" 2>/dev/null) || printf '; %s is here' "$release"
}

home_of() { [ "$1" = "$KERNEL" ] && echo "$STORE" || echo "$STORE/kernels/$1"; }

case ${1:-} in
  --list) list && exit ;;
  "$debug") exec "$IMAGES/debug-kernel.sh" ;;
  -*) die "usage: kernel.sh [NAME], kernel.sh --list" ;;
esac
name=${1:-$KERNEL}
describe "$name" || die "there is no kernel $name: ./just kernel --list has the names"
home=$(home_of "$name")
# What the user puts in place of the guest's kernel need not be fetched.
wanted='image headers'
if [ $# -eq 0 ]; then
  [ -z "${IRQBED_KERNEL:-}" ] || wanted=${wanted#image}
  [ -z "${IRQBED_KDIR:-}" ] || wanted=${wanted%headers}
  wanted=${wanted// /}
  [ -n "$wanted" ] || exit 0
else
  wanted=imageheaders
fi
recipe="4 $fixed$number$rest"
is_there() { sealed "$home/kernel" "$recipe $wanted" || sealed "$home/kernel" "$recipe imageheaders"; }
compiler() { [[ $wanted != *headers* ]] || "$IMAGES/compiler.sh" "$home/kernel/build" >/dev/null; }
is_there && compiler && exit
lock
is_there && compiler && exit
# shellcheck source=images/archive.sh
. "$IMAGES/archive.sh"
started=$SECONDS
release=$(archive "$suite" pinned-kernel "$fixed" "$number" "$rest")
[ -n "$release" ] ||
  die "the Debian mirror has no kernel $name: put your own in place by IRQBED_KERNEL and IRQBED_KDIR"
# add PACKAGE PATTERN: this package, and those of what it needs that match.
packages=()
add() {
  local needs
  needs=$(archive "$suite" needs "$1")
  mapfile -t -O ${#packages[@]} packages < <(echo "$1" && grep -E "$2" <<<"$needs")
}
# From 7.0 on image and modules are packages of their own.
[[ $wanted != *image* ]] || add "linux-image-$release" '^linux-(base|binary|modules)-[0-9]'
if [[ $wanted == *headers* ]]; then
  add "linux-headers-$release" '^linux-(headers|kbuild)-[0-9]'
  # For what a build of modules runs: objtool, and on the loader of its own
  # release what is newer than the system may be.
  case $suite in
    bookworm) packages+=(libelf1) ;;
    *) packages+=(libc6 libelf1t64 libzstd1 zlib1g) ;;
  esac
fi
size=$(archive "$suite" size "${packages[@]}")
room $((size + 150)) "the kernel $release"
new=$home/kernel.new
rm -rf "$new"
mkdir -p "$new"
archive "$suite" unpack "kernel: fetching $release" "$new" "${packages[@]}"
printf '%s\n' "$release" >"$new/release"

# The payload of a bzImage lies behind its real-mode sectors, and a length
# stands behind it (Linux boot protocol 2.08); gzip ends in one by itself.
extract_image() {
  local image=$new/boot/vmlinuz-$release offset length kind
  # With the modules, where image and modules are packages of their own.
  [ -f "$image" ] || image=$new/lib/modules/$release/vmlinuz
  offset=$((($(od -An -tu1 -j 497 -N 1 "$image") + 1) * 512 + $(od -An -tu4 -j 584 -N 4 "$image")))
  length=$(od -An -tu4 -j 588 -N 4 "$image")
  case $(od -An -tx1 -j "$offset" -N 4 "$image") in
    ' 28 b5 2f fd') kind=zst length=$((length - 4)) ;;
    ' fd 37 7a 58') kind=xz length=$((length - 4)) ;;
    ' 1f 8b '*) kind=gz ;;
    *) echo "error: the image is compressed in a way that is not known" && return 1 ;;
  esac
  # tail is cut off when head has enough.
  { tail -c "+$((offset + 1))" "$image" || true; } | head -c "$length" >"$new/vmlinux.$kind"
  plain "$new/vmlinux.$kind" >"$new/vmlinux"
  rm "$new/vmlinux.$kind"
  # Xen's note 18 is the address that PVH starts at.
  readelf --notes "$new/vmlinux" | grep -q '^ *Xen .*0x00000012'
}
if [[ $wanted == *image* ]]; then
  if [ -d "$new/usr/lib/modules" ]; then
    mkdir -p "$new/lib"
    mv "$new/usr/lib/modules" "$new/lib/"
  fi
  # Not `extract_image || die`, in which bash would let commands fail unnoticed.
  extract_image >"$STORE/log/kernel-image.log" 2>&1 &
  wait $! ||
    die "no kernel that starts by PVH came out of vmlinuz-$release: $(why kernel-image)"
  mv "$new/boot/config-$release" "$new/config" 2>/dev/null || mv "$new/lib/modules/$release/config" "$new/config"
  mv "$new/boot/vmlinuz-$release" "$new/vmlinuz" 2>/dev/null || mv "$new/lib/modules/$release/vmlinuz" "$new/vmlinuz"
  rm -rf "${new:?}"/{boot,etc}
  ln -s "lib/modules/$release" "$new/modules"
  rm -f "$new/modules"/{build,source}
fi

# Debian's headers name their parts by absolute paths.
if [[ $wanted == *headers* ]]; then
  headers=$new/usr/src/linux-headers-$release
  {
    # shellcheck disable=SC2016 # make's variables, not ours
    echo 'irqbed_src := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))/..)'
    # shellcheck disable=SC2016
    sed 's|/usr/src/|$(irqbed_src)/|' "$headers/Makefile"
  } >"$headers/Makefile.new"
  mv "$headers/Makefile.new" "$headers/Makefile"
  # That of 6.1 has the release without Debian's part.
  printf '%s\n' "$release" >"$headers/include/config/kernel.release"
  # Most of the files are for other processors.
  find "$new"/usr/src/linux-headers-*-common*/arch -mindepth 1 -maxdepth 1 -type d ! -name x86 ! -name um -exec rm -rf {} +
  kbuild=$(echo "$new"/usr/lib/linux-kbuild-*)
  mkdir "$kbuild/lib"
  cp -P "$new"/usr/lib/x86_64-linux-gnu/*.so* "$kbuild/lib/"
  rm -r "$new/usr/lib/x86_64-linux-gnu"
  # Where there is one for several processors, Debian's own launcher chooses.
  for tool in scripts/mod/modpost scripts/basic/fixdep tools/objtool/objtool; do
    launcher=$kbuild/$tool
    [ -x "$launcher" ] || die "the headers of $release lack $tool"
    for real in "$launcher".real-{x86,lsb-64} "$launcher.real"; do [ ! -e "$real" ] || break; done
    [ -e "$real" ] || mv "$launcher" "$real"
    real=${real##*/}
    cat >"$launcher.new" <<LAUNCHER
#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
here=\${0%/*} libraries=\${0%/*}/../../lib
[ ! -e "\$libraries/ld-linux-x86-64.so.2" ] ||
  exec "\$libraries/ld-linux-x86-64.so.2" --library-path "\$libraries" "\$here/$real" "\$@"
LD_LIBRARY_PATH=\$libraries exec "\$here/$real" "\$@"
LAUNCHER
    chmod +x "$launcher.new"
    mv "$launcher.new" "$launcher"
  done
  [ -f "$new/config" ] || cp "$headers/.config" "$new/config"
  ln -s "usr/src/${headers##*/}" "$new/build"
fi
rm -rf "${new:?}/usr/share"
seal "$new" "$recipe $wanted"
replace "$new" "$home/kernel"
compiler
say "kernel: $release, ready in $((SECONDS - started)) s"
