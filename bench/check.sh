#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# The instructions of every mechanism in every context, beside those that are
# kept in bench/baselines.
#
#   check.sh check [ARGUMENT...]   compares, as `irqbed compare` with ARGUMENTs
#   check.sh update                keeps those of now, and says what moved
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
irqbed=target/release/irqbed
baseline=bench/baselines/instructions.json
new=.irqbed/instructions.json

"$irqbed" bench --all --clock instructions --events 200 --json "$new" >/dev/null
case ${1:-} in
  check) exec "$irqbed" compare "$baseline" "$new" "${@:2}" ;;
  update)
    # What became worse is for whoever renews them to judge.
    [ ! -e "$baseline" ] || "$irqbed" compare "$baseline" "$new" || true
    cp "$new" "$baseline"
    ;;
  *)
    echo 'usage: check.sh check [ARGUMENT...] | update' >&2
    exit 2
    ;;
esac
