# SPDX-License-Identifier: Apache-2.0 OR MIT
set positional-arguments
# A program has said why it failed.
set no-exit-message

irqbed := quote(justfile_directory() / "target/release/irqbed")

# What there is to run
[private]
default:
    @./just --list --unsorted

# Measure how long an interrupt takes to reach a process
[no-cd]
bench *ARGS: setup
    @{{irqbed}} bench "$@"

# Measure how long a register access takes at any vfio-user server: `bench-mmio --socket PATH --region N`
[no-cd]
bench-mmio *ARGS: setup
    @{{irqbed}} bench-mmio "$@"

# Print where the instructions of an event go, by function
[no-cd]
path *ARGS: setup
    @{{irqbed}} path "$@"

# Record one timeline of host and guest for Perfetto, or say what a slow event waited for
[no-cd]
trace *ARGS: setup
    @{{irqbed}} trace "$@"

# Boot the guest with device and driver, and give a shell in it
[no-cd]
run-vm *ARGS: setup
    @{{irqbed}} run-vm "$@"

# Test a driver of your own: `--module x.ko --agent check.sh`, or a scenario's file
[no-cd]
try *ARGS: setup
    @{{irqbed}} test "$@"

# Build the modules in a folder for the guest's kernel
[no-cd]
module DIR *ARGS:
    @{{quote(justfile_directory() / "images/setup.sh")}} kernel && {{quote(justfile_directory() / "images/setup.sh")}} modules "$@"

# Make the device of the running guest interrupt
[no-cd]
raise *ARGS: host
    @{{irqbed}} raise "$@"

# Have something go wrong with the device of the running guest: `fault irq-lost:chance=0.1`, `fault --clear`
[no-cd]
fault *ARGS: host
    @{{irqbed}} fault "$@"

# Plug a device into the running guest (`run-vm --ports N`)
[no-cd]
plug *ARGS: host
    @{{irqbed}} plug "$@"

# Pull the device in a port of the running guest
[no-cd]
unplug *ARGS: host
    @{{irqbed}} unplug "$@"

# Compare two results of `bench --json`, and fail where something became worse
[no-cd]
compare *ARGS: host
    @{{irqbed}} compare "$@"

# Show results of `bench --json` as a page: `report result.json -o report.html`
[no-cd]
report *ARGS: host
    @{{irqbed}} report "$@"

# Measure two states of the sources in turns, and compare them: `ab --base main`
[no-cd]
ab *ARGS: setup
    @{{irqbed}} ab "$@"

# Say what this machine has, and what will be used
[no-cd]
doctor *ARGS: host
    @{{irqbed}} doctor "$@"

# Run every test, those that boot a guest too
test *ARGS: setup
    @images/setup.sh chromium || echo 'test: without a browser the reports are not looked at' >&2
    @images/cargo.sh test "$@"

# Show that the driver may do what it does, faults and unplugging included, on the debug kernel (`kernel 6.12-debug`)
test-debug *TESTS='safe_contexts:: faults:: hotplug::': setup
    @IRQBED_TEST_KERNEL=6.12-debug images/cargo.sh test --test guest -- --include-ignored --nocapture {{TESTS}}

# Make random system calls on every entrance of the driver, on the debug kernel: `fuzz-driver OPERATIONS SEED`
fuzz-driver OPERATIONS='1000000' SEED='1': setup
    @IRQBED_TEST_KERNEL=6.12-debug IRQBED_FUZZ_OPERATIONS={{quote(OPERATIONS)}} IRQBED_FUZZ_SEED={{quote(SEED)}} images/cargo.sh test --test guest -- --nocapture fuzz::

# Print which lines of the crates and of the driver the tests reach: `coverage`, or `coverage --test guest faults::`
coverage *ARGS: setup
    @images/coverage.sh "$@"

# Show that the driver's account balances under faults of every kind: `faults-campaign SEEDS [FIRST]`
faults-campaign SEEDS='1000' FIRST='0': setup
    @IRQBED_SEEDS={{SEEDS}} IRQBED_FIRST_SEED={{FIRST}} images/cargo.sh test --test guest -- --ignored --nocapture seeds_of_a_campaign

# Have everything happen to one guest on the debug kernel, for as long as is asked for: `soak MINUTES SEED`
soak MINUTES='60' SEED='1': setup
    @IRQBED_TEST_KERNEL=6.12-debug IRQBED_SOAK_MINUTES={{quote(MINUTES)}} IRQBED_SEED={{quote(SEED)}} images/cargo.sh test --test guest -- --nocapture soak::

# Try the release on other Debians, made by debootstrap, and print a table; needs root
test-hosts *SUITES:
    @images/test-hosts.sh "$@"

# Run the guest tests on each of these kernels, and print a table: `test-matrix 6.1 7.3`
test-matrix *NAMES:
    @images/test-matrix.sh "$@"

# Compare the instructions of every mechanism with those that are kept; fails where one grew
bench-check *ARGS: setup
    @bench/check.sh check "$@"

# Keep the instructions of now, and say what moved
bench-update: setup
    @bench/check.sh update

# Show how far the gates can be trusted: `gate-check instructions`, or record and wall
gate-check *ARGS: setup
    @bench/gate.sh "$@"

# Send N hostile messages to the device's server (10 million: 10 minutes)
hostile *ARGS:
    @images/hostile.sh "$@"

# Kill COUNT of those who take part in tests at random moments; SEED repeats them
kills COUNT='200' SEED='1': setup
    @IRQBED_KILLS={{quote(COUNT)}} IRQBED_SEED={{quote(SEED)}} images/cargo.sh test --test cli -- --ignored --nocapture kills::

# Take the project's own figures; `figures fresh` times a first run
figures *ARGS: setup
    @bench/figures.sh "$@"

# Run the criterion benches of bench/, or those with this in their name
criterion *FILTER: setup
    @images/cargo.sh bench -- "$@"

# Measure the device beside what else interrupts a guest; `--write` keeps it in bench/PEERS.md
bench-peers *ARGS: setup
    @images/cargo.sh peers "$@"

# Begin a project of your own: `new my_card --dir ../my_card`
[no-cd]
new *ARGS: setup
    @{{irqbed}} new "$@"

# Check the sources in short: rustfmt, clippy, the unit tests
check:
    @cargo fmt --all --check
    @cargo clippy --quiet --release --workspace --all-targets --locked -- -D warnings
    @cargo test --quiet --release --workspace --lib

# Check the sources: rustfmt, clippy, the module with W=1 and sparse, shellcheck
lint:
    @images/lint.sh

# Fetch and build whatever is missing
setup:
    @images/setup.sh

# Build, and fetch nothing
build:
    @images/setup.sh --no-fetch

# Fetch another kernel, for `--kernel NAME`; `--list` has the names
kernel NAME:
    @images/setup.sh kernel "$1"

# Build the programs of the host alone
[private]
host:
    @images/cargo.sh host

# Pack a release: the program with all it needs, for a machine with neither compiler nor network
dist *ARGS:
    @images/dist.sh "$@"

# Pack a release as an image of a container, for podman and others
container *ARGS:
    @images/container.sh "$@"

# Remove what was built; what was fetched stays
clean:
    rm -rf target .irqbed/ab .irqbed/gate .irqbed/module .irqbed/initramfs.cpio* .irqbed/kernels/*/module .irqbed/kernels/*/initramfs.cpio*

# Remove what was fetched, too
distclean: clean
    rm -rf .irqbed
