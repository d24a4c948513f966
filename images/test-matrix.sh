#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# test-matrix.sh [NAME...] [-- TEST...]: fetches or builds these kernels where they
# are missing, runs the guest tests on each, or those with these in their names,
# and prints a table. What each run said is in .irqbed/log/test-NAME.log.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
names=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  names+=("$1")
  shift
done
[ $# -eq 0 ] || shift
# shellcheck source=images/versions
. "$IMAGES/versions"
[ ${#names[@]} -gt 0 ] || names=("$KERNEL" "$KERNEL-debug" "$KERNEL-rt" 6.1 7.3)
for name in "${names[@]}"; do "$IMAGES/setup.sh" kernel "$name"; done
"$IMAGES/setup.sh"

rows=() faulty=
for name in "${names[@]}"; do
  log=$STORE/log/test-$name.log
  say "testing on $name"
  # What is ignored elsewhere needs the debug kernel.
  every=()
  [ "$name" != "$KERNEL-debug" ] || every=(--include-ignored)
  IRQBED_TEST_KERNEL=$name "$IMAGES/cargo.sh" test -p host-harness --test guest -- \
    --show-output "${every[@]}" "$@" >"$log" 2>&1 || true
  row=$(awk -v name="$name" '
    /^skipped: / { skipped++ }
    /^test .* \.\.\. FAILED/ || /^test .* FAILED$/ { failed = failed " " $2 }
    /^test result: / {
      done = 1
      for (i = 1; i < NF; i++) n[substr($(i + 1), 1, length($(i + 1)) - 1)] = $i
      seconds = $NF
    }
    END {
      if (!done) { print name, "- - - - - (no result)"; exit }
      sub(/[.].*/, "", seconds)
      print name, n["passed"] - skipped, n["failed"], n["ignored"], skipped + 0, seconds, failed
    }' "$log")
  rows+=("$row")
  read -r _ _ failed _ <<<"$row"
  [ "$failed" = 0 ] || faulty+=" $name"
done

printf '%-12s %8s %8s %8s %8s %8s  %s\n' kernel passed failed ignored skipped seconds 'failed tests'
for row in "${rows[@]}"; do
  read -r name passed failed ignored skipped seconds tests <<<"$row"
  printf '%-12s %8s %8s %8s %8s %8s  %s\n' "$name" "$passed" "$failed" "$ignored" "$skipped" "$seconds" "$tests"
done
[ -z "$faulty" ] || die "not all tests passed on:$faulty (logs: .irqbed/log/test-NAME.log)"
