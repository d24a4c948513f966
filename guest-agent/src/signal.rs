// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signals: the clean end of a listener on `SIGTERM`, and those by which the
//! driver tells that there are events in the queue of a file.

#![allow(unsafe_code)]

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;

use crate::tsc::{self, GuestTsc};

/// `F_SETSIG` of linux/fcntl.h, which `libc` does not have for glibc.
pub const F_SETSIG: libc::c_int = 10;

/// What a signal handler does: it may make system calls and write to memory it
/// has, but neither allocate nor lock.
pub type Action = Box<dyn Fn() + Send + Sync>;

/// What the handler of `SIGTERM` does. Set once, before the handler is.
static ACTION: OnceLock<Action> = OnceLock::new();

/// Runs an action on each `SIGTERM`, in the handler. System calls that it
/// interrupts go on afterwards.
pub fn on_terminate(action: Action) -> Result<()> {
    if ACTION.set(action).is_err() {
        bail!("the action on SIGTERM is set already");
    }
    install(libc::SIGTERM, terminate)?;
    Ok(())
}

extern "C" fn terminate(_signal: libc::c_int) {
    if let Some(action) = ACTION.get() {
        action();
    }
}

/// The head of the queue that `SIGIO` tells of. Set once, before the handler is.
static HEAD: OnceLock<&AtomicU64> = OnceLock::new();
/// What the handler noted last: where the head was, and then the time. 0 is none.
static NOTED_HEAD: AtomicU64 = AtomicU64::new(0);
static NOTED_TIME: AtomicU64 = AtomicU64::new(0);

/// `SIGIO` with a handler, blocked but for the time of [`Sigio::wait`].
pub struct Sigio {
    waiting: libc::sigset_t,
}

impl Sigio {
    /// Has the driver send `SIGIO` for events in the queue of a file, whose
    /// head is here.
    pub fn watch(file: impl AsFd, head: &'static AtomicU64) -> Result<Self> {
        if HEAD.set(head).is_err() {
            bail!("a queue is watched already");
        }
        // Blocked from here on: it is never taken but in the wait.
        let mut waiting = block(&[libc::SIGIO])?;
        // SAFETY: the set is initialised.
        if unsafe { libc::sigdelset(&mut waiting, libc::SIGIO) } != 0 {
            return Err(io::Error::last_os_error().into());
        }
        install(libc::SIGIO, note)?;
        ask(file, None)?;
        Ok(Self { waiting })
    }

    /// Waits for a signal. If it was `SIGIO`: where the head of the queue was
    /// when the handler had begun, and the time right after.
    #[inline(always)]
    pub fn wait(&self) -> Option<(u64, GuestTsc)> {
        // SAFETY: the set is initialised. The call ends with a handler.
        unsafe { libc::sigsuspend(&self.waiting) };
        match NOTED_TIME.swap(0, Ordering::Relaxed) {
            0 => None,
            time => Some((NOTED_HEAD.load(Ordering::Relaxed), GuestTsc(time))),
        }
    }
}

/// The handler of `SIGIO`. It looks at the head before the clock, three
/// instructions, because only events that were there before the stamp may
/// carry it.
extern "C" fn note(_signal: libc::c_int) {
    let head = HEAD.get().map_or(0, |head| head.load(Ordering::Acquire));
    let time = tsc::now();
    NOTED_HEAD.store(head, Ordering::Relaxed);
    NOTED_TIME.store(time.0, Ordering::Relaxed);
}

/// A real-time signal that is queued for each event.
pub struct Queued {
    signals: libc::sigset_t,
}

impl Queued {
    /// Has the driver queue a signal for each event in the queue of a file.
    pub fn watch(file: impl AsFd) -> Result<Self> {
        let signal = libc::SIGRTMIN();
        block(&[signal, libc::SIGIO])?;
        ask(file, Some(signal))?;
        Ok(Self {
            signals: set_of(&[signal, libc::SIGIO]),
        })
    }

    /// Waits for a signal. True when it is the plain `SIGIO` that the kernel
    /// sends where the queue of signals has no room.
    #[inline(always)]
    pub fn wait(&self) -> Result<bool, Errno> {
        // SAFETY: the set is initialised; no information on the signal is asked
        // for.
        match unsafe { libc::sigwaitinfo(&self.signals, ptr::null_mut()) } {
            -1 => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
            signal => Ok(signal == libc::SIGIO),
        }
    }
}

/// Asks for the signals of a file: `SIGIO`, or another.
fn ask(file: impl AsFd, signal: Option<libc::c_int>) -> Result<()> {
    let fd = file.as_fd().as_raw_fd();
    let control = |command, argument: libc::c_int| {
        // SAFETY: these commands take a number and touch no memory of ours; the
        // descriptor is borrowed until they return.
        match unsafe { libc::fcntl(fd, command, argument) } {
            -1 => Err(io::Error::last_os_error()),
            result => Ok(result),
        }
    };
    control(
        libc::F_SETOWN,
        rustix::process::getpid().as_raw_nonzero().get(),
    )
    .context("cannot become the owner of the device's signals")?;
    if let Some(signal) = signal {
        control(F_SETSIG, signal).context("cannot choose the device's signal")?;
    }
    let flags = control(libc::F_GETFL, 0)?;
    control(libc::F_SETFL, flags | libc::O_ASYNC)
        .context("the driver sends no signals (is it loaded with notifier=signal?)")?;
    Ok(())
}

fn install(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) -> io::Result<()> {
    let mut how = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zero is a valid `sigaction` (default action, empty mask); the
    // handler has the type that one without SA_SIGINFO has, and those of this
    // module do only what a handler may.
    let result = unsafe {
        let how = how.assume_init_mut();
        how.sa_sigaction = handler as libc::sighandler_t;
        how.sa_flags = libc::SA_RESTART;
        libc::sigaction(signal, how, ptr::null_mut())
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Blocks signals: the mask before.
fn block(signals: &[libc::c_int]) -> io::Result<libc::sigset_t> {
    let set = set_of(signals);
    let mut before = set_of(&[]);
    // SAFETY: both sets are initialised and ours.
    if unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, &mut before) } == 0 {
        Ok(before)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A set of signals, which exist.
fn set_of(signals: &[libc::c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set, and `sigaddset` fails for
    // nothing but a number that is no signal.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_its_members_and_no_others() {
        let set = set_of(&[libc::SIGIO, libc::SIGRTMIN()]);
        // SAFETY: the set is initialised.
        let has = |signal| unsafe { libc::sigismember(&set, signal) } == 1;
        assert!(has(libc::SIGIO) && has(libc::SIGRTMIN()));
        assert!(!has(libc::SIGTERM) && !has(libc::SIGRTMIN() + 1));
    }

    #[test]
    fn the_handler_notes_how_far_the_queue_was_and_when() {
        static QUEUE: AtomicU64 = AtomicU64::new(96);
        let before = tsc::now();
        assert!(HEAD.set(&QUEUE).is_ok());
        note(libc::SIGIO);
        assert_eq!(NOTED_HEAD.load(Ordering::Relaxed), 96);
        assert!(GuestTsc(NOTED_TIME.load(Ordering::Relaxed)) > before);
    }
}
