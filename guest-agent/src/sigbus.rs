// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory of a device that may go while we use it. The driver takes it from us
//! then, and an access raises `SIGBUS`: the handler puts zeros in its place,
//! and the access goes on there. A trace slot of zeros speaks of no event.

#![allow(unsafe_code)]

use std::{
    io, ptr,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Address and length of what is guarded; a length of 0 is a free place.
static GUARDED: [[AtomicUsize; 2]; 8] = [const { [const { AtomicUsize::new(0) }; 2] }; 8];
static INSTALL: Once = Once::new();

/// Guards a mapping until [`release`].
pub fn guard(base: *mut u8, len: usize) -> io::Result<()> {
    INSTALL.call_once(install);
    for [address, length] in &GUARDED {
        let free = address.compare_exchange(0, base.addr(), Ordering::AcqRel, Ordering::Relaxed);
        if free.is_ok() {
            length.store(len, Ordering::Release);
            return Ok(());
        }
    }
    Err(io::Error::other("too much memory of devices is mapped"))
}

/// The mapping goes.
pub fn release(base: *mut u8) {
    for [address, length] in &GUARDED {
        if address.load(Ordering::Acquire) == base.addr() {
            length.store(0, Ordering::Release);
            address.store(0, Ordering::Release);
        }
    }
}

fn install() {
    // SAFETY: all zeros is a valid `sigaction`; the handler takes the arguments
    // that SA_SIGINFO promises, and is written for a signal.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = substitute as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut());
    }
}

extern "C" fn substitute(
    _signal: libc::c_int,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    // SAFETY: the kernel hands the information on the signal in.
    let at = unsafe { (*info).si_addr() }.addr();
    for [address, length] in &GUARDED {
        let base = address.load(Ordering::Acquire);
        let len = length.load(Ordering::Acquire);
        if base <= at && at - base < len {
            // SAFETY: it takes the place of a mapping of ours that is guarded,
            // and so alive, and that is used through atomics only.
            let zeros = unsafe {
                libc::mmap(
                    ptr::without_provenance_mut(base),
                    len,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                    -1,
                    0,
                )
            };
            if zeros != libc::MAP_FAILED {
                return;
            }
        }
    }
    // Nothing of ours: the access is made again, and ends us.
    // SAFETY: this only resets the signal.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
}
