# SPDX-License-Identifier: Apache-2.0 OR MIT
set positional-arguments

irqbed := "target/release/irqbed"

# What there is to run
[private]
default:
    @just --list --unsorted --justfile "{{justfile()}}"

# Measure how long an interrupt takes to reach a process
bench *ARGS: setup
    @{{irqbed}} bench "$@"

# Boot the guest with device and driver, and give a shell in it
run-vm *ARGS: setup
    @{{irqbed}} run-vm "$@"

# Make the device of the running guest interrupt
raise *ARGS: host
    @{{irqbed}} raise "$@"

# Say what this machine has, and what will be used
doctor *ARGS: host
    @{{irqbed}} doctor "$@"

# Run every test, those that boot a guest too
test *ARGS: setup
    @cargo test --release --workspace --locked "$@"

# Check the sources: rustfmt, clippy, the module with sparse, shellcheck
lint:
    @images/lint.sh

# Fetch and build whatever is missing
setup:
    @images/setup.sh

# Build the programs of the host alone
[private]
host:
    @images/cargo.sh host

# Remove what was built; what was fetched stays
clean:
    rm -rf target .irqbed/module .irqbed/initramfs.cpio

# Remove what was fetched, too
distclean: clean
    rm -rf .irqbed
