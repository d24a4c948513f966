#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Tests this project in a pipeline, with a release of irqbed: IRQBED_RELEASE is the address
# of its archive, IRQBED_SHA256 the archive's SHA-256.
set -eu
: "${IRQBED_RELEASE:?is not set: give it the address of a release of irqbed}"
: "${IRQBED_SHA256:?is not set: give it the SHA-256 of that release}"
cd "$(dirname "$0")"
mkdir -p irqbed/release
curl --fail --silent --show-error --location --retry 3 --output irqbed/archive "$IRQBED_RELEASE"
echo "$IRQBED_SHA256  irqbed/archive" | sha256sum --check --quiet
tar -xf irqbed/archive --strip-components=1 -C irqbed/release
rm irqbed/archive
irqbed/release/bin/irqbed link
cargo test
