#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# container.sh [IMAGE [PROGRAMS]]: packs a release (dist.sh) as an OCI image, a .tar that
# podman and skopeo load: on the shell, the tools and the C library that the
# makefiles of a kernel want, of Debian 13. PROGRAMS as for dist.sh.
set -euo pipefail
# shellcheck source=images/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=images/versions
. "$IMAGES/versions"
[ $# -le 2 ] || die "usage: container.sh [IMAGE [PROGRAMS]]"
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' "$ROOT/Cargo.toml")
image=${1:-$ROOT/target/irqbed-$version-x86_64-oci.tar}
mkdir -p "$STORE"
new=$(mktemp -d "$STORE/container.XXXXXX")
trap 'rm -rf "$new"' EXIT
"$IMAGES/dist.sh" "$new/release.tar" "${@:2}"

archive() { "$ROOT/target/release/irqbed-archive" --store "$STORE/archive" --suites "$SUITES_trixie" "$@"; }
base=$new/base
mkdir -p "$base" "$new/opt/opt/irqbed" "$new/image/blobs/sha256"
mapfile -t packages < <(archive closure trixie base-files bash coreutils diffutils findutils grep gzip mawk sed |
  grep -vE '^(debconf|dpkg|install-info|perl.*|tar)=')
archive unpack "container: fetching ${#packages[@]} packages of Debian 13" "$base" "${packages[@]}"
# What the packages' scripts would do.
ln -sf bash "$base/usr/bin/sh"
ln -sf mawk "$base/usr/bin/awk"
printf 'root:x:0:0::/root:/bin/sh\nirqbed:x:1000:1000::/home/irqbed:/bin/sh\n' >"$base/etc/passwd"
rm -rf "$base"/usr/share/{doc,info,locale,man}
mkdir -p "$base/home/irqbed"
chmod 1777 "$base/tmp" "$base/home/irqbed"
tar -xf "$new/release.tar" -C "$new/opt/opt/irqbed" --strip-components=1
rm "$new/release.tar"

# blob: keeps what it reads by its hash, and then prints that and the size.
blob() {
  local file=$new/image/blob hash size
  cat >"$file"
  hash=$(sha256sum "$file" | cut -d ' ' -f 1) size=$(stat -c %s "$file")
  mv "$file" "$new/image/blobs/sha256/$hash"
  echo "$hash $size"
}
date="@$(git -C "$ROOT" log -1 --format=%ct)"
layers='' ids=''
for layer in base opt; do
  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="$date" -cf "$new/layer.tar" -C "$new/$layer" .
  rm -rf "${new:?}/$layer"
  ids+="${ids:+,}\"sha256:$(sha256sum "$new/layer.tar" | cut -d ' ' -f 1)\""
  read -r hash size < <(gzip -n <"$new/layer.tar" | blob)
  layers+="${layers:+,}{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"sha256:$hash\",\"size\":$size}"
done
rm "$new/layer.tar"
read -r hash size < <(blob <<JSON
{"architecture":"amd64","os":"linux","created":"$(date -u -d "$date" +%FT%TZ)","config":{"User":"1000:1000","Env":["PATH=/opt/irqbed/bin:/usr/bin:/bin","HOME=/home/irqbed"],"Entrypoint":["/opt/irqbed/bin/irqbed"],"Cmd":["bench"],"WorkingDir":"/home/irqbed"},"rootfs":{"type":"layers","diff_ids":[$ids]}}
JSON
)
read -r hash size < <(blob <<JSON
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:$hash","size":$size},"layers":[$layers]}
JSON
)
cat >"$new/image/index.json" <<JSON
{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:$hash","size":$size,"annotations":{"org.opencontainers.image.ref.name":"irqbed:$version"}}]}
JSON
echo '{"imageLayoutVersion":"1.0.0"}' >"$new/image/oci-layout"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="$date" -cf "$image.new" -C "$new/image" blobs index.json oci-layout
mv "$image.new" "$image"
say "$image: $(($(stat -c %s "$image") / 1000000)) MB"
