// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mappings and processes by bare system calls: what the driver is to refuse,
//! and accesses that are to end a process.

#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    ptr,
};

/// What is mapped, until the end of the process.
#[derive(Clone, Copy)]
pub struct Memory(*mut u8);

/// Maps as `mmap` does.
pub fn map(
    file: impl AsFd,
    offset: u64,
    len: usize,
    access: libc::c_int,
    flags: libc::c_int,
) -> io::Result<Memory> {
    let fd = file.as_fd().as_raw_fd();
    let offset = offset.cast_signed();
    // SAFETY: the kernel chooses the address.
    let at = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, fd, offset) };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(Memory(at.cast()))
}

impl Memory {
    /// The first word of it.
    pub fn read(self) -> u32 {
        // SAFETY: a mapping of at least a page; what an access to memory that
        // is not there does is what we are here to see.
        unsafe { self.0.cast::<u32>().read_volatile() }
    }

    /// The word at an offset within.
    pub fn read_at(self, offset: usize) -> u32 {
        // SAFETY: as in `read`, inside of what the caller mapped.
        unsafe { self.0.add(offset).cast::<u32>().read_volatile() }
    }

    /// Changes what may be done with the first page.
    pub fn protect(self, access: libc::c_int) -> io::Result<()> {
        // SAFETY: a page of a mapping of ours that nothing else uses.
        match unsafe { libc::mprotect(self.0.cast(), 4096, access) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Does something in a process of its own: the signal that ended it, 0 for
/// none.
pub fn in_a_child(act: impl FnOnce()) -> io::Result<i32> {
    // SAFETY: the process has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        act();
        // SAFETY: the end of the child, without what the parent has to clean up.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: the status is ours.
    if pid < 0 || unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(if libc::WIFSIGNALED(status) {
        libc::WTERMSIG(status)
    } else {
        0
    })
}

/// Does something in a process that is made now, when it is told to by the end
/// of a pipe; the other end of it is here.
pub fn fork_held(act: impl FnOnce()) -> io::Result<(libc::pid_t, io::PipeWriter)> {
    let (mut go, told) = io::pipe()?;
    // SAFETY: the process has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        drop(told);
        let _ = io::Read::read(&mut go, &mut [0]);
        act();
        // SAFETY: as in `in_a_child`.
        unsafe { libc::_exit(0) };
    }
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((pid, told))
}

/// Waits for the end of a process of [`fork_held`].
pub fn wait(pid: libc::pid_t) {
    // SAFETY: nobody asks for the status.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
}

/// An ioctl with the address of `argument`.
pub fn ioctl<T>(file: impl AsFd, command: u32, argument: &mut T) -> io::Result<i32> {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the driver's commands read and write at most a `T` of theirs, and
    // those it does not know it refuses.
    match unsafe { libc::ioctl(fd, command.into(), ptr::from_mut(argument)) } {
        -1 => Err(io::Error::last_os_error()),
        done => Ok(done),
    }
}
