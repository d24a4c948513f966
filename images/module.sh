#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Builds the driver against the guest's kernel, in .irqbed/module; arguments
# go on to make (W=1, C=2). The source tree stays clean.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
lock
kdir=${IRQBED_KDIR:-$STORE/kernel/build}
[ -f "$kdir/Makefile" ] || die "no kernel headers at $kdir: run ./just setup, or set IRQBED_KDIR"
kdir=$(cd "$kdir" && pwd -P)
out=$STORE/module
mkdir -p "$out"

# make would look at the whole tree to find out that nothing has changed.
made_from=$(cd "$ROOT/guest-kmod" && cat -- * | cksum)" $kdir $(cksum <"$kdir/include/config/kernel.release")"
[ $# -gt 0 ] || [ ! -f "$out/irqbed.ko" ] || [ "$(cat "$out/.made-from" 2>/dev/null)" != "$made_from" ] || exit 0

"$IMAGES/tools.sh" make
[ "$(cat "$out/.kdir" 2>/dev/null)" = "$kdir" ] || rm -rf "$out"
mkdir -p "$out"
printf '%s\n' "$kdir" >"$out/.kdir"
rm -f "$out/.made-from"
cp -p "$ROOT"/guest-kmod/* "$out/"
make=(make -C "$kdir" M="$out" -j"$(nproc)" CONFIG_DEBUG_INFO_BTF_MODULES=)
if [ $# -gt 0 ]; then
  "${make[@]}" -B "$@" modules
else
  say "module: building for $(cat "$kdir/include/config/kernel.release")"
  run module "${make[@]}" modules || die "the driver does not build: see .irqbed/log/module.log"
fi
printf '%s\n' "$made_from" >"$out/.made-from"
