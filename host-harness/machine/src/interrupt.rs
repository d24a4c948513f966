// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ctrl-C: every wait of the harness looks at one flag, so that a run ends in
//! good order at any moment, with QEMU gone and nothing left behind.

use std::{
    io,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static FLAG: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// How long a wait sleeps before it looks at the flag again.
const SLICE: Duration = Duration::from_millis(10);

/// The user asked us to stop.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Turns SIGINT, SIGTERM and SIGHUP into the flag. A second signal ends the
/// process at once, in case the first is not heeded; QEMU dies with it.
///
/// # Errors
/// When a handler cannot be installed.
pub fn install() -> io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&FLAG))?;
        signal_hook::flag::register(signal, Arc::clone(&FLAG))?;
    }
    Ok(())
}

/// `Err` once the user asked us to stop.
///
/// # Errors
/// [`Interrupted`].
pub fn check() -> Result<(), Interrupted> {
    if FLAG.load(Ordering::Relaxed) {
        Err(Interrupted)
    } else {
        Ok(())
    }
}

/// Sleeps until a moment.
///
/// # Errors
/// [`Interrupted`], soon after the signal.
pub fn sleep_until(deadline: Instant) -> Result<(), Interrupted> {
    loop {
        check()?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(SLICE));
    }
}
