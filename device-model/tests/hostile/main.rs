// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Hostile clients, for a few seconds. `./just hostile` goes on for longer.

mod direct;
mod generator;
#[path = "../common/send.rs"]
mod send;
mod socket;

use fastrand::Rng;

/// Messages in this test; the tool sends millions.
const OVER_SOCKETS: u64 = 20_000;
const DIRECT: u64 = 100_000;

#[test]
fn after_each_hostile_message_a_valid_one_is_answered() {
    let mut direct = direct::Direct::new();
    let mut rng = Rng::with_seed(1);
    for _ in 0..DIRECT {
        direct.step(&mut rng);
    }
}

#[test]
fn after_each_hostile_message_over_a_socket_a_valid_one_is_answered() {
    let mut hostile = socket::Hostile::new();
    let mut rng = Rng::with_seed(2);
    let mut sent = 0;
    while sent < OVER_SOCKETS {
        sent += hostile.step(&mut rng);
    }
}
