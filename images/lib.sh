# SPDX-License-Identifier: Apache-2.0 OR MIT
# shellcheck shell=bash
# What the scripts here share. Each sources it after `set -euo pipefail`.

IMAGES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
ROOT=${IMAGES%/*}
STORE=$ROOT/.irqbed
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
