#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# QEMU 11, of the first series in Debian with the vfio-user client, with every
# library it needs, in .irqbed/qemu: it runs on its own loader, so the
# system's libraries may be older.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
[ -z "${IRQBED_QEMU:-}" ] || exit 0
recipe="2 $QEMU_SUITE $QEMU_VERSION"
sealed "$STORE/qemu" "$recipe" && exit 0
lock
sealed "$STORE/qemu" "$recipe" && exit 0
# shellcheck source=images/archive.sh
. "$IMAGES/archive.sh"
started=$SECONDS
room 350 QEMU
version=$(archive trixie pinned qemu qemu-system-x86 "$QEMU_VERSION" "$QEMU_SUITE")
[ -n "$version" ] ||
  die "the Debian mirror has no qemu-system-x86 in $QEMU_SUITE: name one that has by IRQBED_DEBIAN_MIRROR, or a QEMU of 10.1 or newer by IRQBED_QEMU"
packages=$(archive trixie closure "$QEMU_SUITE" "qemu-system-x86=$version")
new=$STORE/qemu.new
rm -rf "$new"
mkdir -p "$new/bin"
# shellcheck disable=SC2086 # a list
archive trixie unpack "qemu: fetching ${version#*:}" "$new" $packages
# What a guest of ours never opens.
rm -rf "${new:?}"/{etc,var} "$new"/usr/{sbin,lib/systemd,bin/qemu-system-i386} \
  "$new"/usr/share/{applications,bug,debconf,doc,icons,info,lintian,locale,man,perl5}
cat >"$new/bin/qemu-system-x86_64" <<'LAUNCHER'
#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# QEMU on its own loader and libraries; exec, so that its pid is this one. It runs
# no other program, which would outlive a shell that is killed.
file=$0
[ ! -h "$file" ] || file=$(readlink -f "$file")
here=${file%/*}/..
libraries=$here/usr/lib/x86_64-linux-gnu
QEMU_MODULE_DIR=$libraries/qemu exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" \
  "$here/usr/bin/qemu-system-x86_64" -L "$here/usr/share/qemu" -L "$here/usr/share/seabios" "$@"
LAUNCHER
chmod +x "$new/bin/qemu-system-x86_64"
run qemu-check "$new/bin/qemu-system-x86_64" -device vfio-user-pci,help ||
  die "QEMU $version does not run here, or has no vfio-user client: $(why qemu-check)"
printf '%s\n' "$version" >"$new/version"
seal "$new" "$recipe"
replace "$new" "$STORE/qemu"
say "qemu: ready in $((SECONDS - started)) s"
