#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# dist.sh [ARCHIVE [PROGRAMS]]: packs a release: the sources, the programs, and all
# that setup has fetched and built for the stock kernel. Unpacked anywhere, its
# bin/irqbed needs no compiler, no network and no library of the system. The
# archive's name says how it is compressed (.tar, .tar.gz, .tar.xz, .tar.zst).
# PROGRAMS is a folder with programs to pack in place of static ones.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
[ $# -le 2 ] || die "usage: dist.sh [ARCHIVE [PROGRAMS]]"
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' "$ROOT/Cargo.toml")
name=irqbed-$version-x86_64-linux
archive=${1:-$ROOT/target/$name.tar.gz} programs=${2:-}
"$IMAGES/setup.sh"
# The system's own are not packed.
"$IMAGES/setup.sh" tools --ours make busybox
if [ -z "$programs" ]; then
  "$IMAGES/cargo.sh" static
  programs=$ROOT/target/x86_64-unknown-linux-gnu/release
fi
linker=$("$IMAGES/setup.sh" linker)
[ -n "$linker" ] || die "without a mirror there is no compiler to pack"

new=$(mktemp -d "$STORE/dist.XXXXXX")
trap 'rm -rf "$new"' EXIT
mkdir -p "$new/$name/bin" "$new/$name/.irqbed"
for program in irqbed device-model; do
  "${linker%/*}/x86_64-linux-gnu-strip" --strip-debug -o "$new/$name/bin/$program" "$programs/$program"
done
"${linker%/*}/x86_64-linux-gnu-strip" -o "$new/$name/bin/guest-agent" "$ROOT/target/x86_64-unknown-linux-gnu/release/guest-agent"
cp "$ROOT/target/release/libirqbed_tcg_plugin.so" "$new/$name/bin/"
cd "$ROOT"
git ls-files -z | tar --null -T - -c | tar -x -C "$new/$name"
compiler=${linker%/bin/*}
# Drivers of hardware that no guest has here are a third of it.
tar -c --exclude='kernel/lib/modules/*/kernel/'{sound,drivers/gpu,drivers/media,drivers/net/wireless} \
  .irqbed/{qemu,kernel,module/irqbed.ko,initramfs.cpio,tools/{bin/{make,busybox},make,busybox}} "${compiler#"$ROOT/"}" |
  tar -x -C "$new/$name"
# Equal input makes equal archives.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct)" -caf "$archive.new.${archive##*/}" -C "$new" "$name"
mv "$archive.new.${archive##*/}" "$archive"
sum=$(sha256sum "$archive")
say "$archive: $(($(stat -c %s "$archive") / 1000000)) MB, SHA-256 ${sum%% *}"
