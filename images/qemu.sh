#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# QEMU 11, the first series in Debian with the vfio-user client, with every
# library it needs, in .irqbed/qemu: it runs on its own loader, so the
# system's libraries may be older.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
[ -z "${IRQBED_QEMU:-}" ] || exit 0
lock
sealed "$STORE/qemu" "$QEMU_SUITE" && exit 0
# shellcheck source=images/apt.sh
. "$IMAGES/apt.sh"
started=$SECONDS
apt_ready
version=$(version_of qemu-system-x86 "$QEMU_SUITE")
[ -n "$version" ] || die "the mirror has no qemu-system-x86 in $QEMU_SUITE: put your own in place by IRQBED_QEMU"
[ "$version" = "$QEMU_MEASURED" ] || say "qemu: the archive has moved on to $version (last measured: $QEMU_MEASURED)"
say "qemu: fetching $version and its libraries"
new=$STORE/qemu.new
rm -rf "$new"
mkdir -p "$new/bin"
unpack_closure "$new" "$QEMU_SUITE" qemu-system-x86
# What a guest without graphics, sound and firmware settings never opens.
rm -rf "$new"/usr/share/{doc,man,locale,icons,applications,bug,lintian}
cat >"$new/bin/qemu-system-x86_64" <<'LAUNCHER'
#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# QEMU on its own loader and libraries; exec, so that its pid is this one.
here=$(cd "$(dirname "$0")/.." && pwd)
libraries=$here/usr/lib/x86_64-linux-gnu
QEMU_MODULE_DIR=$libraries/qemu exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" \
  "$here/usr/bin/qemu-system-x86_64" -L "$here/usr/share/qemu" -L "$here/usr/share/seabios" "$@"
LAUNCHER
chmod +x "$new/bin/qemu-system-x86_64"
run qemu-version "$new/bin/qemu-system-x86_64" --version || die "the fetched QEMU does not run: see .irqbed/log/qemu-version.log"
seal "$new" "$QEMU_SUITE"
replace "$new" "$STORE/qemu"
say "qemu: done in $((SECONDS - started)) s"
