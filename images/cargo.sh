#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# cargo.sh host|agent: compiles the programs of the host, or the agent, which
# is static because the guest has no libraries.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
command -v cargo >/dev/null || die "cargo is missing: install a Rust toolchain (https://rustup.rs)"
command -v cc >/dev/null || die "a C compiler is missing: install gcc and libc6-dev"
cd "$ROOT"
# Silent when there is nothing to do, and where nobody looks.
quiet=()
[ -t 2 ] || quiet=(--quiet)
case ${1:-} in
  host) exec cargo build "${quiet[@]}" --release --locked -p host-harness -p device-model ;;
  agent)
    target=x86_64-unknown-linux-gnu
    exec cargo build "${quiet[@]}" --release --locked -p guest-agent --target "$target" \
      --config "target.$target.rustflags=['-C', 'target-feature=+crt-static']"
    ;;
  *) die "usage: cargo.sh host|agent" ;;
esac
