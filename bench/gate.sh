#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Whether the gates can be trusted: how often they cry wolf, and what they miss.
# What was measured stays in .irqbed/gate. Exit status 1 where a gate is not as
# good as docs/compare.md says.
#
#   gate.sh instructions [N]   N comparisons (100) of equal boots, N with a path
#                              that is 1 % longer; 3 N boots of some 3 s
#   gate.sh record [ROUNDS]    rounds of `irqbed ab` (120) with two equal sides,
#                              for `wall`, and as many with a driver that waits
#                              for 10 % of raise_to_user; 5 to 20 s each
#   gate.sh wall [N]           N comparisons (1,000) of each kind drawn from them
#   gate.sh delay [N]          N runs of `irqbed ab` (20) as it is, with a driver
#                              that waits for 10 % of what `record` has found
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
irqbed=target/release/irqbed
store=.irqbed/gate
action=${1:-} number=${2:-}
usage() {
  echo 'usage: gate.sh instructions|record|wall|delay [N]' >&2
  exit 2
}
[[ $# -le 2 && $number =~ ^([1-9][0-9]*)?$ ]] || usage
mkdir -p "$store"

# judged COMMAND...: its exit status, which 1 is one of, and not a failure.
judged() {
  local status=0
  "$@" >"$store/last.txt" 2>&1 || status=$?
  if [ "$status" -gt 1 ]; then
    cat "$store/last.txt" >&2
    exit "$status"
  fi
  return "$status"
}

# median STAGE BASE NEW [OPTION...]: of the base, as compare writes it.
median() {
  "$irqbed" compare "${@:2}" --format markdown 2>/dev/null |
    awk -F ' *[|] *' -v stage="$1" '$4 == stage { gsub(",", "", $5); print $5 + 0 }'
}

# boot NAME [ARGUMENT...]: one result, of a boot of its own.
boot() {
  "$irqbed" bench --clock instructions --events 100 --json "$store/$1.json" "${@:2}" >/dev/null
}

instructions() {
  local path longer alarms=0 found=0 n=${number:-100}
  boot base
  path=$(median isr_to_user "$store"/{base,base}.json || true)
  # An even number.
  longer=$((path / 100 + 1))
  longer=$((longer + longer % 2))
  for ((i = 0; i < n; i++)); do
    [ "$i" = 0 ] || boot base
    boot new
    judged "$irqbed" compare "$store"/{base,new}.json || alarms=$((alarms + 1))
    boot longer --module-parameter "delay_insns=$longer"
    judged "$irqbed" compare "$store"/{base,longer}.json || found=$((found + 1))
  done
  echo "instructions, $n comparisons of equal boots: $alarms with a regression"
  echo "instructions, $n with $longer of $path instructions more: $found with a regression"
  [ "$alarms" = 0 ] && [ "$found" = "$n" ]
}

# ab NAME ROUNDS [OPTION...]: rounds with these sources on both sides, kept.
ab() {
  local status
  # A machine that is too busy for the clock may be less so the next time.
  for _ in 1 2 3; do
    status=0
    "$irqbed" ab --base . --no-build --rounds "$2" --save "$store/wall/$1" "${@:3}" \
      >"$store/last.txt" 2>&1 || status=$?
    # 1 is a finding.
    [ "$status" -gt 1 ] || return 0
    tail -n 2 "$store/last.txt" >&2
  done
  exit "$status"
}

# tenth BASE NEW: nanoseconds, of the base's raise_to_user.
tenth() {
  # Written in microseconds.
  { median raise_to_user "$1" "$2" --side-by-side || true; } | awk '{ printf "%.0f", $1 * 100 }'
}

record() {
  local blocks=$(((${number:-120} + 9) / 10)) delay
  rm -rf "$store/wall"
  # In turns: whatever the machine does, both kinds see it.
  for ((i = 0; i < blocks; i++)); do
    ab "$i/equal" 10
    delay=$(tenth "$store/wall/$i"/equal/{base,new}.json)
    ab "$i/longer" 10 --new-argument=--module-parameter --new-argument="delay_ns=$delay"
    echo "$(((i + 1) * 10)) of $((blocks * 10)) rounds of each kind after $SECONDS s; a tenth is $delay ns" >&2
  done
  echo "a round took $(awk -v s="$SECONDS" -v n="$((blocks * 20))" 'BEGIN { printf "%.1f", s / n }') s"
}

recorded() {
  [ -f "$store/wall/0/longer/new.json" ] && return
  echo 'gate: error: no rounds are recorded: run gate.sh record first' >&2
  exit 2
}

delay() {
  local nanoseconds found=0 n=${number:-20}
  recorded
  nanoseconds=$(tenth "$store"/wall/0/equal/{base,new}.json)
  for ((i = 0; i < n; i++)); do
    judged "$irqbed" ab --base . --no-build --new-argument=--module-parameter \
      --new-argument="delay_ns=$nanoseconds" || found=$((found + 1))
  done
  echo "wall time, $n times ab with $nanoseconds ns more: $found with a regression, $((SECONDS / n)) s each"
  [ "$((found * 20))" -ge "$((n * 19))" ]
}

case $action in
  instructions) instructions ;;
  record) record ;;
  wall)
    recorded
    cargo run --quiet --release -p host-harness --example gate -- "$store/wall" "${number:-1000}"
    ;;
  delay) delay ;;
  *) usage ;;
esac
