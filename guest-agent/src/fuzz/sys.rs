// SPDX-License-Identifier: Apache-2.0 OR MIT
//! System calls with any arguments, and memory for the kernel to read and write.
//! Nothing that the kernel is handed lies in memory of Rust's own.

#![allow(unsafe_code)]

use std::{io, ptr};

use anyhow::{Context, Result};

/// What a system call answered: its value, or the number of its error.
pub type Answer = Result<usize, i32>;

/// Makes a system call of the kernel, with arguments of no meaning to Rust.
pub fn call(number: libc::c_long, arguments: [usize; 6]) -> Answer {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: every pointer is one into an `Arena` or one that the kernel refuses,
    // so no memory that Rust knows is read or written; what happens to
    // descriptors, mappings of devices and processes, Rust does not depend on.
    let value = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    usize::try_from(value).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// A page, bytes.
pub const PAGE: usize = 4096;
/// Room for the kernel to write into, bytes. Behind it lies a page that nobody may
/// touch.
pub const ROOM: usize = 16 * PAGE;

/// Memory for arguments of system calls.
#[derive(Debug)]
pub struct Arena {
    base: *mut u8,
}

impl Arena {
    /// Maps it, and the forbidden page behind it.
    pub fn new() -> Result<Self> {
        // SAFETY: a new mapping takes nobody's memory.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                ROOM + PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error()).context("no memory for arguments");
        }
        // SAFETY: the last page of the mapping, which nobody has used.
        if unsafe { libc::mprotect(base.byte_add(ROOM), PAGE, libc::PROT_NONE) } != 0 {
            return Err(io::Error::last_os_error()).context("no page behind the arguments");
        }
        Ok(Self { base: base.cast() })
    }

    /// The address of its byte `offset`, which may be in the forbidden page.
    pub fn at(&self, offset: usize) -> usize {
        self.base.addr() + offset.min(ROOM + PAGE)
    }

    /// Puts bytes at its begin, as many as fit; their address.
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(ROOM);
        // SAFETY: `count` bytes of the mapping, which is ours alone.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.base, count) };
        self.at(0)
    }

    /// A number that the kernel wrote at `offset`.
    pub fn number(&self, offset: usize) -> i32 {
        assert!(offset + size_of::<i32>() <= ROOM, "within the arena");
        // SAFETY: within the mapping; the kernel writes only while a system call of
        // this thread runs.
        unsafe { ptr::read_unaligned(self.base.add(offset).cast()) }
    }
}

/// Has no signal end the process but those of broken code and `SIGKILL`, and has
/// the kernel interrupt each system call that waits for long.
pub fn survive_signals() {
    extern "C" fn nothing(_: libc::c_int) {}

    const FAULTS: [libc::c_int; 5] = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGCHLD,
    ];
    for signal in (1..=libc::SIGRTMAX()).filter(|signal| !FAULTS.contains(signal)) {
        // SAFETY: the handler does nothing. Without SA_RESTART a call that waits
        // ends. The kernel refuses what cannot be handled.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
    let every = libc::timeval {
        tv_sec: 0,
        tv_usec: 20_000,
    };
    let timer = libc::itimerval {
        it_interval: every,
        it_value: every,
    };
    // SAFETY: the structure is read during the call.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
}

/// Makes a child of the process: true in the child. It inherits neither timer nor
/// other threads, and must leave by [`leave`].
pub fn fork() -> Result<bool, i32> {
    // SAFETY: the process has one thread, so the child's memory is consistent.
    match unsafe { libc::fork() } {
        0 => Ok(true),
        pid if pid > 0 => Ok(false),
        _ => Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)),
    }
}

/// Ends the process at once.
pub fn leave() -> ! {
    // SAFETY: nothing that is skipped matters to anybody else.
    unsafe { libc::_exit(0) }
}

/// Takes note of children that have ended.
pub fn reap() {
    // SAFETY: no status is asked for.
    while unsafe { libc::waitpid(-1, ptr::null_mut(), libc::WNOHANG) } > 0 {}
}
