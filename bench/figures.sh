#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# The project's own figures, on this machine, one line each.
#
#   figures.sh           with what is set up here
#   figures.sh fresh     from a fresh clone to the first table, downloads and all
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
irqbed=target/release/irqbed

seconds() { # seconds COMMAND...: how long it takes; its output goes to a log
  local started=$EPOCHREALTIME
  "$@" >"$root/.irqbed/log/figures.log" 2>&1 || {
    tail -n 5 "$root/.irqbed/log/figures.log" >&2
    return 1
  }
  awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $started }"
}

stage() { # stage NAME: count, min, p50, p90, p99, p99.9, max of one table on standard input
  awk -v stage="$1" '$1 == stage { gsub(",", ""); print $2, $3, $4, $5, $6, $7, $8 }'
}

fresh() {
  local folder
  folder=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder as it is now
  trap "rm -rf '$folder'" EXIT
  git clone --quiet "$root" "$folder/irqbed"
  cd "$folder/irqbed"
  mkdir -p .irqbed/log
  root=$PWD
  echo "fresh clone to the first table: $(seconds ./just bench) s"
  echo "the second time: $(seconds ./just bench) s"
}

boot() {
  local times
  times=$(for _ in 1 2 3 4 5 6 7; do
    NO_COLOR=1 "$irqbed" -v bench --events 1 2>&1 | sed -nE 's/.*boot_time=([0-9.]+)(m?s).*/\1 \2/p'
  done | awk '{ print ($2 == "ms") ? $1 / 1000 : $1 }' | sort -n)
  echo "boot to agent ready, 7 boots: median $(sed -n 4p <<<"$times") s, longest $(sed -n 7p <<<"$times") s"
}

instructions() {
  local table
  echo "isr_to_user in instructions, 2,000 events, ten boots (p50 p90 p99 max):"
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    table=$("$irqbed" bench --clock instructions --events 2000)
    stage isr_to_user <<<"$table" | awk '{ print "   ", $3, $4, $5, $7 }'
  done
}

wall() {
  local table
  echo "wall time, 2,000 events, five boots (raise_to_isr p50 p99, raise_to_user p50 p99, clock):"
  for _ in 1 2 3 4 5; do
    table=$("$irqbed" bench)
    echo "    $(stage raise_to_isr <<<"$table" | awk '{ print $3, $5 }')" \
      "$(stage raise_to_user <<<"$table" | awk '{ print $3, $5 }')" \
      "$(grep '^clock:' <<<"$table")"
  done
}

account() {
  echo "200,000 events as fast as the guest takes them:"
  "$irqbed" bench --events 200000 --rate max | grep -E '^(account|netlink)' | sed 's/^/    /'
}

case ${1:-} in
  fresh) fresh ;;
  '')
    echo "a bench on what is there: $(seconds ./just bench) s"
    boot
    wall
    account
    instructions
    ;;
  *)
    echo "usage: figures.sh [fresh]" >&2
    exit 2
    ;;
esac
