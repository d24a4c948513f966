#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# test-hosts.sh [SUITE...]: tries a release (dist.sh) on other systems, and prints a
# table: fresh Debians of these suites (bookworm, trixie, testing), from which apt is
# taken away and which have no compiler, as an ordinary user. Needs root and
# debootstrap, and changes nothing but a folder for temporary files.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || die "this needs root, for chroot and debootstrap"
command -v debootstrap >/dev/null || die "debootstrap is missing: install it"
[ $# -gt 0 ] || set -- bookworm trixie testing
"$IMAGES/setup.sh"
mirror=$("$ROOT/target/release/irqbed-archive" mirror main)
export mirror
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$IMAGES/dist.sh" "$work/irqbed.tar.gz"

# in_root ROOT COMMAND...: as its user, in its home. What it mounts and what it leaves
# running goes with it.
in_root() {
  # shellcheck disable=SC2016 # the inner shell's
  unshare --mount --pid --fork --kill-child bash -c '
    set -e
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    exec chroot --userspec=tester:tester "$1" /usr/bin/env -i HOME=/home/tester PATH=/usr/bin:/bin \
      IRQBED_DEBIAN_MIRROR="$mirror" sh -c "cd && exec \"\$@\"" sh "${@:2}"' bash "$@"
}

# timed COMMAND...: how long it took, seconds; what it says goes to the log.
timed() {
  local begun=$EPOCHREALTIME
  "$@" >>"$log" 2>&1 || return
  awk -v begun="$begun" -v ended="$EPOCHREALTIME" 'BEGIN { printf "%.0f\n", ended - begun }'
}

try() { # SUITE
  local root=$work/$1 irqbed=irqbed/bin/irqbed unpacked table built what
  say "$1: making a system"
  debootstrap --variant=minbase "$1" "$root" "$mirror" >"$log" 2>&1
  chroot "$root" useradd --create-home tester
  rm -f "$root"/usr/bin/apt*
  # By which the mirror is found and trusted here.
  cp -L /etc/hosts /etc/resolv.conf "$root/etc/"
  mkdir -p "$root/etc/ssl"
  cp -rL /etc/ssl/certs "$root/etc/ssl/" || true
  mkdir "$root/home/tester/irqbed"
  say "$1: trying the release"
  unpacked=$(timed tar -xf "$work/irqbed.tar.gz" --strip-components=1 -C "$root/home/tester/irqbed")
  chmod -R a-w "$root/home/tester/irqbed"
  cp -r "$ROOT/examples/scratch" "$root/home/tester/driver"
  chroot "$root" chown -R tester: /home/tester/driver
  table=$(timed in_root "$root" "$irqbed" bench --accel tcg)
  built=$(timed in_root "$root" "$irqbed" build driver)
  timed in_root "$root" "$irqbed" test --accel tcg driver/test.toml >/dev/null
  timed in_root "$root" "$irqbed" bench --all --clock instructions --events 200 --json new.json >/dev/null
  kernel=$(timed in_root "$root" "$irqbed" kernel 7.3)
  timed in_root "$root" "$irqbed" bench --accel tcg --kernel 7.3 >/dev/null
  what=$(in_root "$root" "$irqbed" compare irqbed/bench/baselines/instructions.json new.json | tail -n 1 || true)
  printf '%-10s %10s %10s %10s %10s  %s\n' "$1" "$unpacked" "$table" "$built" "$kernel" "$what"
}

for suite; do
  log=$STORE/log/host-$suite.log
  # Not `try || die`, in which bash would let commands fail unnoticed.
  try "$suite" >>"$work/rows" &
  wait $! || die "$suite: $(tail -n 1 "$log") (log: .irqbed/log/host-$suite.log)"
  rm -rf "${work:?}/$suite"
done
printf '%-10s %10s %10s %10s %10s  %s\n' host 'unpack, s' 'table, s' 'driver, s' 'kernel, s' 'instructions beside the baselines'
cat "$work/rows"
