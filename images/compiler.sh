#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# compiler.sh KDIR: the compiler for modules of the kernel whose headers lie in
# KDIR: the one that the kernel was built by, so that a driver is the same, and has
# the same number of instructions, wherever it is built. Prints its path, or nothing
# where the kernel is not Debian's and the system's compiler is not older than the
# kernel's: an older one lacks options that the kernel's makefiles pass.
# compiler.sh --linker: the linker of the guest's static programs, with a C library:
# these are the same, too, wherever they are linked. Prints nothing where no mirror is
# known to fetch it from.
# Both lie in .irqbed/compilers and run on their own loader, with their own assembler
# and linker.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
[ $# -eq 1 ] || die "usage: compiler.sh KDIR|--linker"
system=
may_be_the_systems() { [ -n "$system" ] && [ "$major" -le "${system%%.*}" ]; }
if [ "$1" = --linker ]; then
  major=$GUEST_COMPILER
else
  settings=$1/include/config/auto.conf
  setting() { sed -n "s/^CONFIG_$1=//p" "$settings" 2>/dev/null || true; }
  # 120200 is 12.2; 0 is clang, and nothing is known of a kernel without this file.
  built_by=$(setting GCC_VERSION)
  major=$((${built_by:-0} / 10000))
  system=$(gcc -dumpversion 2>/dev/null || true)
  case $(setting CC_VERSION_TEXT) in
    *Debian*) ;;
    *) ! may_be_the_systems || exit 0 ;;
  esac
fi
read -r archive package version < <(awk -v major="$major" '$1 == major { print $2, $3, $4 }' <<<"$COMPILERS") || {
  ! may_be_the_systems || exit 0
  die "the kernel of $1 was built by gcc $major, this system has ${system:-none}: install gcc-$major or a newer one"
}
home=$STORE/compilers/gcc-$major
gcc=$home/bin/x86_64-linux-gnu-gcc-$major
wanted=$gcc
[ "$1" != --linker ] || wanted=$home/bin/link-static
libc=
[ "$major" != "$GUEST_COMPILER" ] || libc=$GUEST_LIBC_VERSION
recipe="3 $package $version${libc:+ $libc}"
sealed "$home" "$recipe" && echo "$wanted" && exit
lock
sealed "$home" "$recipe" && echo "$wanted" && exit
# shellcheck source=images/archive.sh
. "$IMAGES/archive.sh"
[ "$1" != --linker ] || "$ARCHIVE" mirror main >/dev/null 2>&1 || exit 0
started=$SECONDS
room 400 "gcc $major"
found=$(archive "$archive" pinned "gcc-$major" "$package" "$version")
[ -n "$found" ] ||
  die "the Debian mirror has no $package: name one that has by IRQBED_DEBIAN_MIRROR, or install gcc-$major"
# What checks programs at run time is not for kernels.
packages=$(archive "$archive" closure "$archive" "$package=$found" | grep -vE '^lib(a|hwa|l|t|ub)san')
if [ -n "$libc" ]; then
  libc=$(archive "$archive" pinned libc libc6-dev "$libc")
  [ -n "$libc" ] || die "the Debian mirror has no libc6-dev"
  packages+=" libc6-dev=$libc"
fi
new=$home.new
rm -rf "$new"
mkdir -p "$new/bin" "$new/parts"
# shellcheck disable=SC2086 # a list
archive "$archive" unpack "gcc-$major: fetching $found" "$new" $packages
rm -rf "${new:?}"/{etc,var,usr/include,usr/share,usr/sbin} "$new"/usr/lib*/gcc/x86_64-linux-gnu/"$major"/lto1 "$new"/usr/bin/*lto-dump*
find "$new"/usr/lib*/gcc -name '*.a' ! -name 'libgcc*' -delete

# launcher FILE PROGRAM [ARGUMENT...]: a program on the loader that is its own.
launcher() {
  local file=$1 program=$2
  shift 2
  cat >"$file" <<LAUNCHER
#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
here=\${0%/*}/..
exec "\$here/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "\$here/usr/lib/x86_64-linux-gnu" \\
  --argv0 "\$0" "\$here/$program" $* "\$@"
LAUNCHER
  chmod +x "$file"
}
# Where older packages have it.
[ -e "$new/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" ] || {
  cp -a "$new/lib/." "$new/usr/lib/"
  rm -rf "${new:?}/lib"
}
for tool in "$new"/usr/bin/x86_64-linux-gnu-{ar,as,ld,ld.bfd,nm,objcopy,objdump,ranlib,readelf,strip}; do
  launcher "$new/bin/${tool##*/}" "usr/bin/${tool##*/}"
done
# The compiler looks for its parts where it is told to first.
# shellcheck disable=SC2016 # the launcher's
launcher "$new/bin/${gcc##*/}" "usr/bin/${gcc##*/}" '-B"$here/parts/"'
for part in "$new"/usr/lib*/gcc/x86_64-linux-gnu/"$major"/{cc1,collect2}; do
  [ ! -f "$part" ] || launcher "$new/parts/${part##*/}" "${part#"$new/"}"
done
for part in as ld; do launcher "$new/parts/$part" "usr/bin/x86_64-linux-gnu-$part"; done
# The libraries of this compiler, and none of the system's.
# shellcheck disable=SC2016 # the launcher's
[ -z "$libc" ] || launcher "$new/bin/link-static" "usr/bin/${gcc##*/}" \
  '--sysroot="$here" -B"$here/parts/" -B"$here/usr/lib/gcc/x86_64-linux-gnu/'"$major"'/"'

check() {
  echo 'int answer(void) { return 42; }' | "$new/bin/${gcc##*/}" -O2 -g -x c -c - -o "$new/check.o"
  "$new/bin/x86_64-linux-gnu-ld" -r "$new/check.o" -o "$new/checked.o"
}
# Not `check || die`, in which bash would let commands fail unnoticed.
check >"$STORE/log/gcc-$major-check.log" 2>&1 &
wait $! || die "gcc $found does not run here: $(why "gcc-$major-check")"
rm "$new"/check{,ed}.o
seal "$new" "$recipe"
replace "$new" "$home"
say "gcc-$major: ready in $((SECONDS - started)) s"
echo "$wanted"
