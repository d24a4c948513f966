// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The clean end of a listener: what to do on `SIGTERM`.

#![allow(unsafe_code)]

use std::{io, mem::MaybeUninit, ptr, sync::OnceLock};

use anyhow::{Result, bail};

/// What the handler does. Set once, before the handler is.
static ACTION: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

/// Runs an action on each `SIGTERM`, in the handler: it may make system calls
/// and write to memory it has, but neither allocate nor lock. System calls
/// that it interrupts go on afterwards.
pub fn on_terminate(action: impl Fn() + Send + Sync + 'static) -> Result<()> {
    if ACTION.set(Box::new(action)).is_err() {
        bail!("the action on SIGTERM is set already");
    }
    let handler: extern "C" fn(libc::c_int) = handle;
    let mut how = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zero is a valid `sigaction` (default action, empty mask);
    // `handle` has the type that a handler without SA_SIGINFO has, and does
    // only what a handler may, by the contract above.
    let result = unsafe {
        let how = how.assume_init_mut();
        how.sa_sigaction = handler as libc::sighandler_t;
        how.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGTERM, how, ptr::null_mut())
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error().into())
    }
}

extern "C" fn handle(_signal: libc::c_int) {
    if let Some(action) = ACTION.get() {
        action();
    }
}
