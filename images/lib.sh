# SPDX-License-Identifier: Apache-2.0 OR MIT
# shellcheck shell=bash
# What the scripts here share. Each sources it after `set -euo pipefail`.

IMAGES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
ROOT=${IMAGES%/*}
STORE=$ROOT/.irqbed
# shellcheck source=images/versions
. "$IMAGES/versions"
# The system's own tools first. Messages are read, so they are in one language.
export PATH=$PATH:$STORE/tools/bin LC_ALL=C

say() { printf 'setup: %s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 1
}

# Stops before anything is fetched or compiled that could not be used.
check_path() {
  case $ROOT in
    *[[:space:]:]*)
      die "the kernel's makefiles cannot work in '$ROOT', because of a space or colon in the name: move the checkout"
      ;;
  esac
}

# Stops before anything is fetched or compiled where a compiler is missing or too
# old, with all that is.
check_compilers() {
  local wanted rust missing=()
  wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$ROOT/Cargo.toml")
  rust=$(cargo --version 2>/dev/null | awk '{ print $2 }' || true)
  if [ "$(printf '%s\n' "$wanted" "${rust:-0}" | sort -V | head -n 1)" != "$wanted" ]; then
    missing+=("Rust $wanted or newer, not ${rust:-none} (https://rustup.rs, or rustc-web and cargo-web of Debian 12's security updates)")
  fi
  command -v cc >/dev/null || missing+=("a C compiler (gcc and libc6-dev)")
  [ ${#missing[@]} -eq 0 ] || die "please install $(printf '%s; ' "${missing[@]}" | sed 's/; $//')"
}

# One setup at a time; what another one has done need not be done again.
# Whatever outlives its script keeps the lock: nobody else writes meanwhile.
lock() {
  [ -z "${IRQBED_LOCKED:-}" ] || return 0
  { mkdir -p "$STORE/log" && exec 9>>"$STORE/lock"; } 2>/dev/null ||
    die "cannot write to $STORE: is the disk full, or the folder another user's?"
  if ! flock -n 9; then
    say "another setup is running, waiting for it"
    flock 9
  fi
  export IRQBED_LOCKED=1
}

# run NAME COMMAND...: its output goes to a log.
run() {
  local log=$STORE/log/$1.log
  shift
  "$@" >"$log" 2>&1 9>&-
}

# why NAME: the cause of a failure in few words, by its log, for `die`.
why() {
  local log=$STORE/log/$1.log cause
  if [ "$(megabytes_free)" -lt 20 ] || grep -qs 'No space left' "$log"; then
    echo "the disk is full ($(megabytes_free) MB left for $STORE): make room and run again"
    return
  fi
  # Compilers name the cause first.
  cause=$(grep -sE '(error: |\*\*\* )' "$log" | head -n 1 || true)
  [ -n "$cause" ] || cause=$(tail -n 1 "$log" 2>/dev/null || true)
  echo "${cause:-no reason given} (log: .irqbed/log/$1.log)"
}

megabytes_free() { df -Pm "$STORE" | awk 'NR == 2 { print $4 }'; }

# room MEGABYTES PART: stops before a download that could not be unpacked.
room() {
  [ "$(megabytes_free)" -ge "$1" ] ||
    die "$2 needs $1 MB below $STORE, $(megabytes_free) MB are free: make room and run again"
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
  local content
  content=$(content_of "$1")
  printf '%s\n%s\n' "$2" "$content" >"$1/.complete"
}

# sealed FOLDER VALUE: whether it is still as `seal` left it.
sealed() {
  local value content
  { read -r value && read -r content; } 2>/dev/null <"$1/.complete" || return 1
  [ "$value" = "$2" ] && [ "$content" = "$(content_of "$1")" ]
}

# Number and sizes of files: enough to notice what was lost or cut short.
content_of() {
  find "$1" -type f ! -name .complete -printf '%s\n' | awk '{ n++; size += $1 } END { printf "%d files, %.0f bytes\n", n, size }'
}
