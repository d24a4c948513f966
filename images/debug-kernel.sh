#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# A kernel that checks locks, memory and contexts (debug-kernel.config), built
# from the source of the stock one, in .irqbed/kernels/6.12-debug: image,
# modules, and what modules build against. Interrupted, it goes on where it was.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
home=$STORE/kernels/$KERNEL-debug
config=$IMAGES/debug-kernel.config
recipe="1 $KERNEL_SOURCE_VERSION $(cksum <"$config")"
sealed "$home/kernel" "$recipe" && exit 0
lock
sealed "$home/kernel" "$recipe" && exit 0
started=$SECONDS
command -v gcc >/dev/null || die "a C compiler is missing: install gcc and libc6-dev"
"$IMAGES/tools.sh" make flex bison busybox
# A kernel's makefiles calculate with it, and busybox can.
command -v bc >/dev/null || ln -sf ../busybox/bin/busybox "$STORE/tools/bin/bc"

new=$home/kernel.new
tree=$new/build libraries=$new/usr/lib/x86_64-linux-gnu
if [ "$(cat "$new/unpacked" 2>/dev/null)" != "$recipe" ]; then
  # shellcheck source=images/archive.sh
  . "$IMAGES/archive.sh"
  room 3500 'the debug kernel'
  source=linux-source-$KERNEL
  version=$(archive bookworm pinned debug-kernel "$source" "$KERNEL_SOURCE_VERSION")
  [ -n "$version" ] || die "the Debian mirror has no $source: name one that has by IRQBED_DEBIAN_MIRROR"
  rm -rf "$new"
  mkdir -p "$tree"
  # The others are for objtool, which the build makes.
  archive bookworm unpack "debug-kernel: fetching the source of $version" "$new" "$source=$version" libelf-dev zlib1g-dev
  plain "$new/usr/src/$source.tar.xz" | run debug-kernel-unpack tar -x -C "$tree" --strip-components 1 --exclude='*/Documentation/?*/*' ||
    die "cannot unpack the kernel's source: $(why debug-kernel-unpack)"
  rm "$new/usr/src/$source.tar.xz"
  printf '%s\n' "$recipe" >"$new/unpacked"
fi

# The same source makes the same kernel, whoever builds it and when.
make=(make -s -C "$tree" -j"$(nproc)" LIBELF_FLAGS="-I$new/usr/include"
  LIBELF_LIBS="$libraries/libelf.a $libraries/libz.a"
  KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=irqbed KBUILD_BUILD_HOST=irqbed)
run debug-kernel-config "${make[@]}" KCONFIG_ALLCONFIG="$config" allnoconfig ||
  die "the debug kernel cannot be configured: $(why debug-kernel-config)"
lost=$(grep CONFIG_ "$config" | grep -vxF -f "$tree/.config" || true)
[ -z "$lost" ] || die "this kernel cannot have what $config asks for: $(paste -sd ' ' <<<"$lost")"
say "debug-kernel: building, which takes some minutes"
run debug-kernel nice "${make[@]}" bzImage modules || die "the debug kernel does not build: $(why debug-kernel)"
readelf --notes "$tree/vmlinux" | grep -q '^ *Xen .*0x00000012' || die "the debug kernel does not start by PVH"
# It takes its symbols along in its own table.
strip -o "$new/vmlinux" "$tree/vmlinux"
# From this one a guest that is suspended to RAM resumes.
cp "$tree/arch/x86/boot/bzImage" "$new/vmlinuz"
run debug-kernel-modules "${make[@]}" modules_install INSTALL_MOD_PATH="$new" INSTALL_MOD_STRIP=1 ||
  die "the debug kernel's modules are not complete: $(why debug-kernel-modules)"

# What modules build against is a small part of it.
release=$(cat "$tree/include/config/kernel.release")
mkdir "$new/headers"
(cd "$tree" && find Makefile .config Module.symvers include scripts tools/objtool/objtool arch/x86/include arch/x86/Makefile* \
  ! -name '*.o' ! -name '.*.cmd' ! -type d -print0 | xargs -0 cp --parents -P -t "$new/headers")
rm -rf "$tree" "${new:?}/usr" "$new/unpacked" "$new/lib/modules/$release"/{build,source}
mv "$new/headers" "$tree"
cp "$tree/.config" "$new/config"
ln -s "lib/modules/$release" "$new/modules"
printf '%s\n' "$release" >"$new/release"
seal "$new" "$recipe"
replace "$new" "$home/kernel"
say "debug-kernel: $release, ready in $((SECONDS - started)) s"
