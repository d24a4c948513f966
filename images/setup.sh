#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# setup.sh [--no-fetch], setup.sh COMMAND...: fetches and builds whatever a guest needs and
# is missing, or only what a command names, by the program in images/setup, which is
# compiled first. `setup.sh --help` has its commands.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
check_path
[ "${1:---no-fetch}" != --no-fetch ] || check_compilers
program=$ROOT/target/release/irqbed-setup
if [ ! -x "$program" ] || [ -n "$(find "$IMAGES"/{archive,setup} -newer "$program" -type f)" ]; then
  "$IMAGES/cargo.sh" setup
fi
exec "$program" --root "$ROOT" "$@"
