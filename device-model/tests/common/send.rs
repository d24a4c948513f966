// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bytes and descriptors into a socket, sensible or not: more descriptors than
//! the library sends, too.

use std::{io::IoSlice, mem::MaybeUninit, os::fd::BorrowedFd, os::unix::net::UnixStream};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Sends all bytes, the descriptors with the first of them; at most 64.
pub fn send_all(
    stream: &UnixStream,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        let parts = [IoSlice::new(rest)];
        let sent = sendmsg(stream, &parts, &mut control, SendFlags::NOSIGNAL)?;
        rest = &rest[sent..];
        control.clear();
    }
    Ok(())
}
