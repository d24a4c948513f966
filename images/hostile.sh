#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# hostile.sh [MESSAGES [SEED]]: sends millions of hostile messages to the
# device's server, over sockets and straight into its dispatcher; then a tenth
# as many that are guided by which parts of the code they reach, for which the
# crate is compiled once more, with counters.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
messages=${1:-10000000}
case $messages in
  '' | *[!0-9]*)
    say "error: usage: hostile [MESSAGES [SEED]]: '$messages' is no number"
    exit 2
    ;;
esac
seed=${2:-1}
# What the counters would be written to at the end.
export LLVM_PROFILE_FILE=/dev/null
build=(cargo build --quiet --release -p device-model --example hostile)
"${build[@]}" --target-dir target
RUSTC_WORKSPACE_WRAPPER=$IMAGES/coverage-rustc.sh "${build[@]}" --target-dir target/coverage
target/release/examples/hostile "$messages" "$seed"
target/coverage/release/examples/hostile $((messages / 10)) "$seed"
