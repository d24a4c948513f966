#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
# rustc for the crates of this workspace alone, with the counters of coverage.
exec "$@" -C instrument-coverage --cfg irqbed_coverage
