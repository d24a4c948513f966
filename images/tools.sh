#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# tools.sh [--ours] NAME...: makes tools available that the system does not have, in
# .irqbed/tools/bin, without what their packages ask for and we do not use. With
# --ours, whatever the system has.
# shellcheck disable=SC2016 # `environment` is the launcher's
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"

# The archive, the program, and the packages it needs beside the C library of
# Debian 12.
describe() {
  environment='' version=''
  case $1 in
    # The guest's.
    busybox) archive=bookworm program=bin/busybox packages='busybox-static' version=$BUSYBOX_VERSION ;;
    make) archive=bookworm program=usr/bin/make packages='make' ;;
    # They write a kernel's parsers, and find m4 and their data not by themselves.
    flex) archive=bookworm program=usr/bin/flex packages='flex m4' environment='M4=$here/usr/bin/m4' ;;
    bison)
      archive=bookworm program=usr/bin/bison packages='bison m4'
      environment='M4=$here/usr/bin/m4 BISON_PKGDATADIR=$here/usr/share/bison'
      ;;
    sparse) archive=bookworm program=usr/bin/sparse packages='sparse' ;;
    shellcheck) archive=bookworm program=usr/bin/shellcheck packages='shellcheck libgmp10 libffi8' ;;
    # For the guest of the benches, which has no libraries of its own.
    cyclictest) archive=bookworm program=usr/bin/cyclictest packages='rt-tests libnuma1 libc6' ;;
    # Debian 12 has none; the one of its successor needs a newer C library.
    just) archive=trixie program=usr/bin/just packages='just libc6 libgcc-s1' ;;
    *) die "tools.sh knows no $1" ;;
  esac
}

is_ours() { [ -x "$STORE/tools/bin/$1" ] && sealed "$STORE/tools/$1" "1 $packages${version:+ $version}"; }

ours=
if [ "${1:-}" = --ours ]; then
  ours=yes
  shift
fi

# What goes into the guest must be these, whatever the system has.
is_there() {
  case $1 in
    busybox | cyclictest) ;;
    *) if [ -z "$ours" ] && command -v "$1" | grep -qvF "$STORE/"; then return; fi ;;
  esac
  is_ours "$1"
}

install_tool() {
  local tool=$1 home=$STORE/tools/$1 new=$STORE/tools/$1.new libraries=usr/lib/x86_64-linux-gnu launch
  rm -rf "$new"
  mkdir -p "$new" "$STORE/tools/bin"
  local found list=$packages
  if [ -n "$version" ]; then
    found=$(archive "$archive" pinned "$tool" "$packages" "$version")
    list=$packages=$found
  else
    found=$(archive "$archive" newest "${packages%% *}")
  fi
  # shellcheck disable=SC2086 # a list
  archive "$archive" unpack "$tool: fetching $found" "$new" $list
  find "$new/usr/share" -mindepth 1 -maxdepth 1 ! -name bison -exec rm -rf {} +
  if [ -e "$new/$libraries/ld-linux-x86-64.so.2" ]; then
    launch="exec \"\$here/$libraries/ld-linux-x86-64.so.2\" --library-path \"\$here/$libraries\""
  elif [ -e "$new/$libraries" ]; then
    launch="LD_LIBRARY_PATH=\$here/$libraries exec"
  else
    launch="${environment:+$environment }exec"
  fi
  cat >"$new/launch" <<LAUNCHER
#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
here=\${0%/*}/../$tool
$launch "\$here/$program" "\$@"
LAUNCHER
  chmod +x "$new/launch"
  seal "$new" "1 $packages${version:+ $version}"
  replace "$new" "$home"
  cp "$home/launch" "$STORE/tools/bin/$tool.new"
  mv "$STORE/tools/bin/$tool.new" "$STORE/tools/bin/$tool"
}

for tool; do
  describe "$tool"
  is_there "$tool" && continue
  lock
  is_there "$tool" && continue
  # shellcheck source=images/archive.sh
  . "$IMAGES/archive.sh"
  install_tool "$tool"
done
