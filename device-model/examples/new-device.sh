#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# new-device.sh NAME: a device of that name beside this script, with its driver
# and the test of both, to begin with: the template by another name.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
refuse() {
  printf 'new-device: error: %s\n' "$1" >&2
  exit 2
}
[ $# -eq 1 ] || refuse 'name the device: ./just new-device NAME'
name=$1 new=$here/$1
# What a Rust type, a C function and a kernel module can all be called.
[[ $name =~ ^[a-z][a-z0-9_]{1,30}$ ]] ||
  refuse "'$name' cannot be a name: use 2 to 31 of a-z, 0-9 and _, a letter first"
case $name in
  auto | break | case | char | const | continue | default | do | double | else | enum | extern | float | for | goto | if | \
    inline | int | long | register | return | short | signed | sizeof | static | struct | switch | typedef | union | \
    unsigned | void | volatile | while) refuse "'$name' is a word of C: choose another name" ;;
esac
[ ! -e "$new" ] || refuse "$new exists: choose another name"
type=$(sed -E 's/(^|_)([a-z0-9])/\u\2/g' <<<"$name")
# Some id that the devices here do not have; change it as you like.
id=$(printf '%04x' $((0x8000 | $(cksum <<<"$name" | cut -d ' ' -f 1) & 0x7fff)))
trap 'rm -rf "$new.new"' EXIT
mkdir -p "$new.new"
for file in "$here"/template/*; do
  to=$new.new/$(basename "$file" | sed "s/template/$name/")
  cp -p "$file" "$to"
  sed -i "s/7e57/$id/g; s/template/$name/g; s/Template/$type/g; s/TEMPLATE/${name^^}/g" "$to"
done
# The lines have other lengths now.
rustfmt --edition 2024 "$new.new/main.rs" 2>/dev/null || true
mv "$new.new" "$new"
cd "$here/../.."
cat <<TEXT
device-model/examples/$name/ has the device (main.rs), its driver ($name.c) and a
check of both in the guest (check.sh). Next:

  cargo test -p device-model --example $name
  cargo run --release -p device-model --example $name -- /tmp/$name &
  ./just module device-model/examples/$name
  ./just try --socket /tmp/$name --module device-model/examples/$name/$name.ko \\
    --agent device-model/examples/$name/check.sh
TEXT
