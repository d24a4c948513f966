#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# coverage.sh [ARGUMENT...]: which lines the tests reach: of the Rust crates, on the
# host and in the guest, and of the driver. All is built once more, with counters,
# in a copy below .irqbed/coverage, and the guest tests boot the debug kernel,
# which knows gcov. ARGUMENTs go to `cargo test` (`--test guest faults::`). What was
# reached adds up until `coverage.sh clean`.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
home=$STORE/coverage
tree=$home/tree reached=$home/reached
if [ "${1:-}" = clean ]; then
  rm -rf "$home"
  exit
fi
command -v gcov-tool >/dev/null || die "gcov-tool is missing: install gcc"
"$IMAGES/setup.sh" kernel 6.12-debug
"$IMAGES/setup.sh"

# The tools of the LLVM that rustc has inside.
major=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
llvm=$("$IMAGES/setup.sh" llvm "$major")
llvm() {
  local tool=$1 libraries=$llvm/usr/lib
  shift
  LD_LIBRARY_PATH=$libraries/x86_64-linux-gnu:$libraries/llvm-$major/lib "$libraries/llvm-$major/bin/llvm-$tool" "$@"
}
# A checkout of its own: programs and drivers with counters must not be taken for
# those without.
mkdir -p "$tree/.irqbed/kernels" "$reached"
find "$tree" -mindepth 1 -maxdepth 1 ! -name target ! -name .irqbed -exec rm -rf {} +
tar -c -C "$ROOT" --exclude=./target --exclude=./.irqbed --exclude=./.git . | tar -x -C "$tree"
for part in archive qemu kernel tools chromium kernels/6.12-debug/kernel; do
  [ ! -d "$STORE/$part" ] || [ -d "$tree/.irqbed/$part" ] || {
    mkdir -p "$(dirname "$tree/.irqbed/$part")"
    cp -al "$STORE/$part" "$tree/.irqbed/$part"
  }
done
# Make takes GCOV_PROFILE for one of its own variables, the kernel's makefiles for
# the wish that a module count. Counters that live in a file outlive their process.
export GCOV_PROFILE=y RUSTC_WORKSPACE_WRAPPER=$tree/images/coverage-rustc.sh
export IRQBED_COVERAGE=$reached LLVM_PROFILE_FILE=$reached/%4m%c.profraw
# Guests with counters in them take long to boot.
export IRQBED_BOOT_LIMIT=${IRQBED_BOOT_LIMIT:-600}
(
  cd "$tree"
  LLVM_PROFILE_FILE=/dev/null images/setup.sh
  IRQBED_TEST_KERNEL=6.12-debug images/cargo.sh test --no-fail-fast "$@"
) || say "coverage: some tests failed"

llvm profdata merge --sparse -o "$home/all.profdata" "$reached"/*.profraw "$reached"/guest-*/*.profraw
objects=()
while read -r object; do objects+=(--object "$object"); done < <(
  find "$tree"/target/release/deps "$tree"/target/release "$tree"/target/x86_64-unknown-linux-gnu/release \
    -maxdepth 1 -type f -perm -u+x ! -name '*.d' | sort -u
)
llvm cov report --instr-profile "$home/all.profdata" "${objects[@]:1}" \
  --ignore-filename-regex '(/.cargo/|/rustc/|/rustlib/|/tests?/|tests?[.]rs$|/examples/|/benches/)' >"$home/rust.txt"
sed "s#$tree/##" "$home/rust.txt"

module=$home/module
build=$tree/.irqbed/kernels/6.12-debug/module/build
rm -rf "$module"
for guest in "$reached"/guest-*; do
  ls "$guest"/*.gcda >/dev/null 2>&1 || continue
  if [ -d "$module" ]; then
    gcov-tool merge -o "$module.new" "$module" "$guest" 2>/dev/null
    rm -rf "$module"
    mv "$module.new" "$module"
  else
    mkdir "$module"
    cp "$guest"/*.gcda "$module"
  fi
done
if [ -d "$module" ]; then
  cp "$build"/*.gcno "$module"
  # A test's own module counts too, and has no notes here.
  for counts in "$module"/*.gcda; do [ -f "${counts%.gcda}.gcno" ] || rm "$counts"; done
  (cd "$module" && gcov -n ./*.gcda 2>/dev/null) |
    awk -F "[':%]| of " '
      /^File/ { file = $2; sub(".*/", "", file) }
      /^Lines/ && file ~ /^(irqbed|notify)/ && file !~ /_abi[.]h$/ {
        lines[file] += $NF; hit[file] += $2 * $NF / 100; file = ""
      }
      END { for (f in lines) printf "%-36s %5d lines %6.1f %%\n", f, lines[f], 100 * hit[f] / lines[f] }' |
    sort | tee "$home/module.txt"
  awk '{ all += $2; hit += $2 * $4 / 100 } END { if (all) printf "driver: %.1f %% of %d lines\n", 100 * hit / all, all }' "$home/module.txt"
fi
awk '/^TOTAL/ { printf "Rust: %s of %d lines\n", $10, $8 }' "$home/rust.txt"
