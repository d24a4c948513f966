// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest's side of the clock comparison: answers each ping of the host
//! with the guest's time. The time one exchange takes bounds the clock error
//! of the whole run, so the loop does nothing else.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use irqbed_abi::trace::PING_STOP;

use crate::{instrument::Calibration, tsc};

/// How long the host may be silent.
const PATIENCE: Duration = Duration::from_secs(5);
/// Looks at the ping between two looks at the (slow) clock.
const SPINS: u32 = 1 << 20;

/// Answers pings until the host stops it. The word found at the start is an
/// old ping and not answered; `ready` is called once it was read.
pub fn serve(words: Calibration<'_>, ready: impl FnOnce() -> Result<()>) -> Result<()> {
    serve_for(words, ready, PATIENCE)
}

fn serve_for(
    words: Calibration<'_>,
    ready: impl FnOnce() -> Result<()>,
    patience: Duration,
) -> Result<()> {
    let mut last = words.ping.load(Ordering::Acquire);
    ready()?;
    let mut heard = Instant::now();
    loop {
        let before = last;
        for _ in 0..SPINS {
            let ping = words.ping.load(Ordering::Acquire);
            if ping == last {
                continue;
            }
            let now = tsc::now();
            if ping == PING_STOP {
                return Ok(());
            }
            words.pong_tsc.store(now.0, Ordering::Relaxed);
            words.pong.store(ping, Ordering::Release);
            last = ping;
        }
        if last != before {
            heard = Instant::now();
        } else if heard.elapsed() > patience {
            bail!("the host sent no calibration ping for {patience:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::instrument::tests::{instrument, map};

    #[test]
    fn each_ping_is_answered_until_the_stop() {
        let (ours, file) = instrument();
        let theirs = map(&file);
        let words = theirs.calibration().expect("calibration words");
        words.ping.store(PING_STOP, Ordering::Release);
        let (tell, told) = std::sync::mpsc::channel();
        let guest = thread::spawn(move || {
            let words = ours.calibration().expect("calibration words");
            serve(words, || Ok(tell.send(())?)).map_err(|error| error.to_string())
        });
        told.recv().expect("the guest spins");
        for n in 1..=100 {
            let before = tsc::now();
            words.ping.store(n, Ordering::Release);
            while words.pong.load(Ordering::Acquire) != n {
                std::hint::spin_loop();
            }
            let at = words.pong_tsc.load(Ordering::Relaxed);
            assert!((before.0..=tsc::now().0).contains(&at));
        }
        words.ping.store(PING_STOP, Ordering::Release);
        guest.join().expect("no panic").expect("stopped");
    }

    #[test]
    fn a_silent_host_is_given_up() {
        let (bar, _file) = instrument();
        let words = bar.calibration().expect("calibration words");
        let result = serve_for(words, || Ok(()), Duration::from_millis(10));
        assert!(result.is_err());
    }
}
