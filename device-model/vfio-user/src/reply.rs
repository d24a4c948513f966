// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A reply while it is being written: one buffer, used again and again.

use std::{fs::File, sync::Arc};

use rustix::io::Errno;
use zerocopy::{Immutable, IntoBytes};

use super::protocol::{ERROR, HEADER_SIZE, Header, TYPE_REPLY};

/// A reply: its bytes, and the descriptors that go with them.
#[derive(Debug, Default)]
pub struct Reply {
    bytes: Vec<u8>,
    fds: Vec<Arc<File>>,
}

impl Reply {
    /// The whole message; empty where nothing is to be sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What goes with it.
    #[must_use]
    pub fn fds(&self) -> &[Arc<File>] {
        &self.fds
    }

    /// Nothing is to be sent.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fds.clear();
    }

    /// Begins the reply to a command.
    pub(super) fn begin(&mut self, to: &Header) {
        self.clear();
        let header = Header {
            size: HEADER_SIZE as u32,
            flags: TYPE_REPLY,
            error: 0,
            ..*to
        };
        self.push(&header);
    }

    /// Tells an error instead of what was begun.
    pub(super) fn fail(&mut self, to: &Header, errno: Errno) {
        self.clear();
        let header = Header {
            size: HEADER_SIZE as u32,
            flags: TYPE_REPLY | ERROR,
            error: errno.raw_os_error().unsigned_abs(),
            ..*to
        };
        self.push(&header);
    }

    pub(super) fn push(&mut self, value: &(impl IntoBytes + Immutable + ?Sized)) {
        self.bytes.extend_from_slice(value.as_bytes());
    }

    pub(super) fn push_fd(&mut self, file: &Arc<File>) {
        self.fds.push(Arc::clone(file));
    }

    /// The end of the message, for who writes there himself.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// `count` zeros at the end, to be written over.
    pub(super) fn data(&mut self, count: usize) -> &mut [u8] {
        let start = self.bytes.len();
        self.bytes.reserve_exact(count);
        self.bytes.resize(start.saturating_add(count), 0);
        self.bytes.get_mut(start..).unwrap_or_default()
    }

    /// Enters the length of the message in its header.
    pub(super) fn end(&mut self) {
        let size = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        let place = std::mem::offset_of!(Header, size);
        if let Some(field) = self.bytes.get_mut(place..place + size_of::<u32>()) {
            field.copy_from_slice(&size.to_ne_bytes());
        }
    }
}
