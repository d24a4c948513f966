#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# cargo.sh setup|host|agent|bench-guest|static|test|bench|peers [ARGUMENT...]: compiles
# the program that sets all up, or all programs of the host, or those of the guest,
# which are static because it has no libraries, or those of the host as static ones, for
# a release, or runs the tests, the benches or the comparison with peers, in the same
# profile, but for the tests of the guest's programs: what was compiled once is used by
# all.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
# Setup has done it.
[ -n "${IRQBED_LOCKED:-}" ] || check_compilers
cd "$ROOT"
# Whatever the user's own setting: the programs are looked for there.
export CARGO_TARGET_DIR=$ROOT/target
# Silent where nobody looks.
quiet=()
[ -t 2 ] || quiet=(--quiet)
wanted=${1:-}
[ $# -eq 0 ] || shift
case $wanted in
  setup | host)
    packages=(host-harness device-model irqbed-archive irqbed-setup tcg-plugin) only=()
    # What others ask of libraries counts for one program too: nothing is compiled twice.
    if [ "$wanted" = setup ]; then
      only=(--bin irqbed-setup)
      [ -x target/release/irqbed-setup ] || say "cargo: compiling what fetches"
    fi
    exec cargo build "${quiet[@]}" --release "${packages[@]/#/-p}" "${only[@]}"
    ;;
  agent | bench-guest | static)
    packages=(host-harness device-model)
    [ "$wanted" != agent ] || packages=(guest-agent)
    [ "$wanted" != bench-guest ] || packages=(irqbed-bench-guest)
    target=x86_64-unknown-linux-gnu
    # The user's flags would come before these. The same compiler of Rust makes the
    # same program to the byte, whatever folder the crates lie in: panics name it.
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
    flags="'-C', 'target-feature=+crt-static', '-C', 'link-arg=-Wl,--build-id=none'"
    for crates in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
      [ ! -d "$crates" ] || flags+=", '--remap-path-prefix=$crates=crates'"
    done
    linker=$("$IMAGES/setup.sh" linker)
    [ -z "$linker" ] || flags+=", '-C', 'linker=$linker'"
    exec cargo build "${quiet[@]}" --release "${packages[@]/#/-p}" --target "$target" \
      --config "target.$target.rustflags=[$flags]"
    ;;
  test)
    # The benches must compile; to run them takes longer than a test may.
    cargo bench "${quiet[@]}" -p irqbed-bench --no-run
    # What these ask of the crates that all use, cargo would compile anew for all. Their tests
    # need no speed.
    apart=(guest-agent irqbed-abi irqbed-bench-guest) status=0
    [[ " $* " == *' --test '* ]] || cargo test "${apart[@]/#/-p}" "$@" || status=$?
    cargo test --release --workspace "${apart[@]/#/--exclude=}" "$@" || status=$?
    exit "$status"
    ;;
  bench) exec cargo bench --quiet -p irqbed-bench "$@" ;;
  peers)
    cargo build "${quiet[@]}" --release -p irqbed-bench --bins
    exec "$CARGO_TARGET_DIR/release/irqbed-peers" "$@"
    ;;
  *) die "usage: cargo.sh setup|host|agent|bench-guest|static|test|bench|peers" ;;
esac
