# SPDX-License-Identifier: Apache-2.0 OR MIT
# shellcheck shell=bash
# What the scripts here share. Each sources it after `set -euo pipefail`.

IMAGES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$IMAGES")
STORE=$ROOT/.irqbed
# shellcheck source=images/versions
. "$IMAGES/versions"
PATH=$PATH:$STORE/tools/bin

say() { printf 'setup: %s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 1
}

# One setup at a time; what another one has done need not be done again.
lock() {
  [ -z "${IRQBED_LOCKED:-}" ] || return 0
  mkdir -p "$STORE/log" 2>/dev/null || die "cannot write to $ROOT: is the disk full, or the folder not yours?"
  exec 9>"$STORE/lock"
  if ! flock -n 9; then
    say "another setup is running, waiting for it"
    flock 9
  fi
  export IRQBED_LOCKED=1
}

# run NAME COMMAND...: runs it with its output in a log that is shown when it fails.
run() {
  local log=$STORE/log/$1.log
  shift
  "$@" >"$log" 2>&1 && return 0
  tail -n 5 "$log" | sed 's/^/setup:   /' >&2
  df -Pk "$STORE" | awk 'NR == 2 && $4 < 262144 { print "setup:   only " int($4 / 1024) " MiB are free on this disk" }' >&2
  return 1
}

# replace NEW OLD: puts a finished folder in place.
replace() {
  rm -rf "$2.old"
  [ ! -e "$2" ] || mv "$2" "$2.old"
  mv "$1" "$2"
  rm -rf "$2.old"
}

# seal FOLDER VALUE: notes that a folder is complete, what it was made from,
# and what it holds.
seal() {
  local files
  files=$(count_files "$1")
  printf '%s\n%s\n' "$2" "$files" >"$1/.complete"
}

# sealed FOLDER VALUE: whether it is still as `seal` left it.
sealed() {
  [ -f "$1/.complete" ] || return 1
  local value files
  { read -r value && read -r files; } <"$1/.complete" || return 1
  [ "$value" = "$2" ] && [ "$files" = "$(count_files "$1")" ]
}

count_files() { find "$1" -path "$1/.complete" -o -print | wc -l; }
