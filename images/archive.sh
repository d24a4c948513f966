# SPDX-License-Identifier: Apache-2.0 OR MIT
# shellcheck shell=bash
# Packages of Debian's archives, by irqbed-archive (images/archive), which a release
# brings along. It says itself what went wrong.

check_path

ARCHIVE=$ROOT/bin/irqbed-archive
if [ ! -x "$ARCHIVE" ]; then
  ARCHIVE=$ROOT/target/release/irqbed-archive
  if [ ! -x "$ARCHIVE" ] || [ -n "$(find "$IMAGES/archive" -newer "$ARCHIVE" -type f)" ]; then
    "$IMAGES/cargo.sh" archive 9>&-
  fi
fi

# archive NAME COMMAND...: asks the suites SUITES_NAME of images/versions.
archive() {
  local suites=SUITES_$1
  "$ARCHIVE" --store "$STORE/archive" --suites "${!suites}" "${@:2}" 9>&-
}

# plain FILE.xz|FILE.zst|FILE.gz: its content.
plain() { "$ARCHIVE" plain "$1"; }
