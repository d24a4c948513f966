#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# tools.sh NAME...: makes tools available that the system does not have, in
# .irqbed/tools/bin. They run on the system's libraries, or, where those are
# too old, on the libraries they came with.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
lock

package_of() {
  case $1 in
    busybox) echo busybox-static ;;
    *) echo "$1" ;;
  esac
}

suite_of() {
  case $1 in
    just) echo "$JUST_SUITE" ;;
    *) echo "$TOOLS_SUITE" ;;
  esac
}

# The guest's busybox must be a static one, whatever the system has.
is_there() {
  if [ "$1" = busybox ]; then [ -x "$STORE/tools/bin/busybox" ]; else command -v "$1" >/dev/null; fi
}

fetch() {
  local tool=$1 new=$STORE/tools/$1.new home=$STORE/tools/$1
  apt_ready
  say "tools: fetching $tool"
  rm -rf "$new"
  mkdir -p "$new" "$STORE/tools/bin"
  unpack_closure "$new" "$(suite_of "$tool")" "$(package_of "$tool")"
  rm -rf "$new"/usr/share/{doc,man,locale}
  replace "$new" "$home"
  local program
  program=$(find "$home" -path "*/*bin/$tool" -printf '%P\n' | head -n 1)
  [ -n "$program" ] || die "the package $(package_of "$tool") holds no $tool"
  cat >"$STORE/tools/bin/$tool.new" <<LAUNCHER
#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
here=\$(cd "\$(dirname "\$0")/.." && pwd)/$tool
LAUNCHER
  if "$home/$program" --help >/dev/null 2>&1 || [ "$tool" = busybox ]; then
    echo "exec \"\$here/$program\" \"\$@\""
  else
    echo "libraries=\$here/usr/lib/x86_64-linux-gnu"
    echo "exec \"\$libraries/ld-linux-x86-64.so.2\" --library-path \"\$libraries\" \"\$here/$program\" \"\$@\""
  fi >>"$STORE/tools/bin/$tool.new"
  chmod +x "$STORE/tools/bin/$tool.new"
  mv "$STORE/tools/bin/$tool.new" "$STORE/tools/bin/$tool"
}

for tool; do
  is_there "$tool" && continue
  # shellcheck source=images/apt.sh
  . "$IMAGES/apt.sh"
  fetch "$tool"
done
