#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Everything that can be said about the sources without running them. All is
# said, whatever comes first.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
export CARGO_TARGET_DIR=$ROOT/target
"$IMAGES/setup.sh" kernel
"$IMAGES/setup.sh" tools make sparse shellcheck

faulty=()
check() {
  printf 'lint: %s\n' "$1"
  "${@:2}" || faulty+=("$1")
}

module() {
  local log=$STORE/log/lint-module.log
  "$@" W=1 C=2 >"$log" 2>&1 || { cat "$log" && return 1; }
  # A compiler of another release is no fault of the module's.
  ! grep -E '(warning|error):|^WARNING' "$log" | grep -v 'the compiler differs'
}

# Drivers of examples and tests, in a copy: objects would lie beside their sources.
drivers() {
  local kbuild copy=$STORE/lint
  for kbuild in "$@"; do
    rm -rf "$copy"
    cp -R "$(dirname "$kbuild")" "$copy"
    find "$copy" -name '*.o' -delete
    module "$IMAGES/setup.sh" modules "$copy" || { echo "lint: see $(dirname "$kbuild")" >&2 && return 1; }
  done
  rm -rf "$copy"
}

check rustfmt cargo fmt --all --check
check clippy cargo clippy --quiet --workspace --all-targets --locked -- -D warnings
check 'pages of the crates' env RUSTDOCFLAGS='-D warnings' cargo doc --quiet --workspace --no-deps --locked
# An older cargo looks for the crates of this workspace in the registry.
if printf '%s\n' 1.90 "$(cargo --version | cut -d ' ' -f 2)" | sort --check=quiet --version-sort; then
  check 'packages of the crates' cargo package --quiet --workspace --exclude 'irqbed-bench*' --no-verify --allow-dirty --locked --offline
fi
check 'module, with W=1 and sparse' module "$IMAGES/setup.sh" driver
check 'module of the peers, with W=1 and sparse' module bench/image.sh
check 'drivers of the examples and tests, with W=1 and sparse' drivers {,device-model/}examples/*/Kbuild host-harness/tests/modules/*/Kbuild
check shellcheck shellcheck -x just .ci/run {bench{,/*},images}/*.sh images/versions examples{,/*}/*.sh device-model/examples/*/*.sh host-harness/template/*.sh
[ ${#faulty[@]} -eq 0 ] || die "lint: not clean: $(printf '%s; ' "${faulty[@]}" | sed 's/; $//')"
