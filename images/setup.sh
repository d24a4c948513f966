#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Fetches and builds whatever is missing; what is there costs nothing. The
# downloads run while cargo compiles.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
lock
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

(cd "$IMAGES" && ./qemu.sh && ./kernel.sh && ./tools.sh busybox && ./module.sh) &
parts=$!
"$IMAGES/cargo.sh" host
"$IMAGES/cargo.sh" agent
wait "$parts" || die "the guest is not complete: see above"
"$IMAGES/initramfs.sh" "$STORE/initramfs.cpio" \
  "$ROOT/target/x86_64-unknown-linux-gnu/release/guest-agent" "$STORE/module/irqbed.ko"
