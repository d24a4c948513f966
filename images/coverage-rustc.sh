#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# rustc for the crates of this workspace alone, with the counters of coverage.
# (Bash: dash drops the variables whose names have a dash, which cargo sets.)
# Where they are to live in a file (%c of LLVM_PROFILE_FILE), they can be moved.
[ -z "${IRQBED_COVERAGE:-}" ] || set -- "$@" -C llvm-args=-runtime-counter-relocation
exec "$@" -C instrument-coverage --cfg irqbed_coverage
