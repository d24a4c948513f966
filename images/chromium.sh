#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Chromium without a window, for the tests that look at a report in a browser:
# in .irqbed/chromium, with every library that it opens. Nothing to do where the
# system has a chromium.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
if command -v chromium >/dev/null; then exit 0; fi
recipe='1 chromium-headless-shell'
sealed "$STORE/chromium" "$recipe" && exit 0
lock
sealed "$STORE/chromium" "$recipe" && exit 0
# shellcheck source=images/archive.sh
. "$IMAGES/archive.sh"
started=$SECONDS
room 600 Chromium
# The system's C library will do. Graphics drivers and what only the packages'
# scripts call are a third of the closure, and never opened.
packages=$(archive bookworm closure bookworm chromium-headless-shell |
  grep -vE '^(libc6|libgcc-s1|libstdc\+\+6|gcc-12-base|libc-bin|libgl1-mesa-dri|libllvm15|libz3-4|libicu72|perl.*|libperl.*|debconf|ucf|xdg-utils|dpkg|tar|passwd|login|adduser|sed|debianutils|sensible-utils|libpam.*|libdb5.3)=')
new=$STORE/chromium.new
rm -rf "$new"
mkdir -p "$new/bin"
# shellcheck disable=SC2086 # a list
archive bookworm unpack "chromium: fetching $(archive bookworm newest chromium-headless-shell)" "$new" $packages
rm -rf "${new:?}"/var "${new:?}"/usr/{bin,sbin,lib/chromium/libVkLayer*} \
  "$new"/usr/share/{applications,bug,debconf,doc,icons,info,lintian,locale,man,perl5}
cat >"$new/bin/chromium" <<'LAUNCHER'
#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Not on a loader of its own: it starts itself again by its own name.
here=$(dirname "$(dirname "$(readlink -f "$0")")")
libraries=$here/usr/lib/x86_64-linux-gnu
LD_LIBRARY_PATH=$libraries:$here/lib/x86_64-linux-gnu:$libraries/pulseaudio \
  exec "$here/usr/lib/chromium/chromium-headless-shell" "$@"
LAUNCHER
chmod +x "$new/bin/chromium"
run chromium-check "$new/bin/chromium" --no-sandbox --version ||
  die "Chromium does not run here: $(why chromium-check)"
seal "$new" "$recipe"
replace "$new" "$STORE/chromium"
say "chromium: ready in $((SECONDS - started)) s"
