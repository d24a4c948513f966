// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Millions of hostile messages: over real sockets, and straight into the
//! dispatcher, there guided by coverage where the crate was compiled for it.
//! After each a valid request must be answered. `./just hostile [N]` runs it.

mod coverage;
#[path = "../../tests/hostile/direct.rs"]
mod direct;
#[path = "../../tests/hostile/generator.rs"]
mod generator;
#[path = "../../tests/common/send.rs"]
mod send;
#[path = "../../tests/hostile/socket.rs"]
mod socket;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use fastrand::Rng;

/// Peak of memory that is allowed, KiB.
const MOST_MEMORY: u64 = 64 << 10;
const SAY_EVERY: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let mut number = |default| match words.next().map(|word| word.replace('_', "").parse()) {
        None => Some(default),
        Some(number) => number.ok(),
    };
    let (Some(messages), Some(seed)) = (number(10_000_000), number(1)) else {
        eprintln!("hostile: usage: hostile [MESSAGES] [SEED]");
        return ExitCode::from(2);
    };
    let before = open_files();
    if coverage::is_compiled_in() {
        guided(messages, seed);
    } else {
        over_sockets(messages, seed);
        straight(messages, seed);
    }
    let (after, memory) = (open_files(), peak_memory());
    println!(
        "peak memory {memory} KiB (at most {MOST_MEMORY}), files left open {}",
        after - before
    );
    if memory > MOST_MEMORY || after != before {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn over_sockets(messages: u64, seed: u64) {
    let mut hostile = socket::Hostile::new();
    let mut rng = Rng::with_seed(seed);
    let mut said = Said::new("over sockets");
    let mut sent = 0;
    while sent < messages {
        sent += hostile.step(&mut rng);
        said.now_and_then(sent);
    }
    said.at_the_end(sent);
}

fn straight(messages: u64, seed: u64) {
    let mut direct = direct::Direct::new();
    let mut rng = Rng::with_seed(seed);
    let mut said = Said::new("straight into the dispatcher");
    for sent in 0..messages {
        direct.step(&mut rng);
        said.now_and_then(sent);
    }
    said.at_the_end(messages);
}

/// Bends messages that have reached what no other had reached before.
fn guided(messages: u64, seed: u64) {
    let mut direct = direct::Direct::new();
    let mut rng = Rng::with_seed(seed);
    let mut coverage = coverage::Coverage::new();
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    let mut said = Said::new("guided by coverage");
    for sent in 0..messages {
        let mut message = match rng.choice(&corpus) {
            Some(known) if rng.u8(..4) != 0 => {
                let mut known = known.clone();
                generator::mutate(&mut rng, &mut known);
                known
            }
            _ => generator::message(&mut rng),
        };
        coverage.clear();
        direct.tell(&mut message, &mut rng);
        if coverage.has_grown() {
            corpus.push(message);
        }
        said.now_and_then(sent);
    }
    said.at_the_end(messages);
    println!(
        "reached {} of {} counters, by {} messages that reached something new",
        coverage.reached(),
        coverage.len(),
        corpus.len()
    );
}

struct Said {
    how: &'static str,
    started: Instant,
    last: Instant,
}

impl Said {
    fn new(how: &'static str) -> Self {
        let now = Instant::now();
        Self {
            how,
            started: now,
            last: now,
        }
    }

    fn now_and_then(&mut self, sent: u64) {
        if sent.is_multiple_of(1024) && self.last.elapsed() >= SAY_EVERY {
            self.last = Instant::now();
            eprintln!("hostile: {sent} {}", self.how);
        }
    }

    fn at_the_end(&self, sent: u64) {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = sent as f64 / seconds;
        println!(
            "{sent} messages {} in {seconds:.0} s ({rate:.0}/s), a valid one answered after each bunch",
            self.how
        );
    }
}

fn open_files() -> usize {
    let folder = std::fs::read_dir("/proc/self/fd").expect("/proc is there");
    folder.count()
}

/// Peak of the resident memory of this process, KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok())
        .expect("the kernel says VmHWM")
}
