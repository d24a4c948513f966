#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Everything that can be said about the sources without running them.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
export CARGO_TARGET_DIR=$ROOT/target
"$IMAGES/kernel.sh"
"$IMAGES/tools.sh" make sparse shellcheck

say 'lint: rustfmt'
cargo fmt --all --check
say 'lint: clippy'
cargo clippy --quiet --workspace --all-targets --locked -- -D warnings
say 'lint: the module, with W=1 and sparse'
log=$STORE/log/lint-module.log
"$IMAGES/module.sh" W=1 C=2 >"$log" 2>&1 || { cat "$log"; die "the module does not build"; }
# A compiler of another release is no fault of the module's.
if grep -E '(warning|error):' "$log" | grep -v 'the compiler differs'; then die "the module has warnings"; fi
say 'lint: shellcheck'
shellcheck -x just .ci/run images/*.sh images/versions
