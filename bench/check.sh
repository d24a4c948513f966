#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# The instructions of every mechanism in every context, beside those that are
# kept in bench/baselines; or, where these are of another kernel than the one that is
# here, beside those of the sources that they were measured of.
#
#   check.sh check [ARGUMENT...]   compares, as `irqbed compare` with ARGUMENTs
#   check.sh update                keeps those of now, and says what moved
#
# What was compared is in .irqbed/check, as base.json and new.json.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
irqbed=target/release/irqbed
baseline=bench/baselines/instructions.json
compared=.irqbed/check
what=(--all --events 200)

kernel_of() { sed -n 's/^ *"guest_kernel": "\(.*\)",$/\1/p' "$1" | head -n 1; }

measure() {
  mkdir -p "$compared"
  "$irqbed" bench --clock instructions "${what[@]}" --json "$compared/new.json" >/dev/null
  cp "$baseline" "$compared/base.json"
}

# With a kernel of the user's own, `compare` says what it thinks of that.
check() {
  local was is base
  was=$(kernel_of "$baseline") is=$(cat .irqbed/kernel/release 2>/dev/null || true)
  if [ "$was" = "$is" ] || [ -n "${IRQBED_KERNEL:-}" ]; then
    measure
    exec "$irqbed" compare "$compared/base.json" "$compared/new.json" "$@"
  fi
  if [ "$(git rev-parse --is-shallow-repository 2>/dev/null)" != false ]; then
    echo "bench-check: error: the figures in $baseline are of Linux $was, this is $is, and their revision is not here to measure it on that: fetch the history (git fetch --unshallow)" >&2
    exit 2
  fi
  base=$(git log -1 --format=%h -- "$baseline")
  echo "bench-check: the figures in $baseline are of Linux $was, this is $is: measuring $base, whose they are, on it, too" >&2
  exec "$irqbed" ab --base "$base" --clock instructions --save "$compared" "$@" -- "${what[@]}"
}

case ${1:-} in
  check) check "${@:2}" ;;
  update)
    measure
    # What became worse is for whoever renews them to judge.
    "$irqbed" compare "$compared/base.json" "$compared/new.json" || true
    cp "$compared/new.json" "$baseline"
    ;;
  *)
    echo 'usage: check.sh check [ARGUMENT...] | update' >&2
    exit 2
    ;;
esac
