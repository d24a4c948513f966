// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one definition of everything two sides of irqbed must agree on.
//!
//! An event starts as an [`ring::EventRecord`] that the device writes into a
//! completion ring, is announced by an interrupt, travels on as a
//! [`netlink::EventMessage`] and leaves its time stamps in a
//! [`trace::TraceSlot`]; a [`reply::ReplyRequest`] is the way back. The C header
//! of the kernel module (`guest-kmod/irqbed_abi.h`) is generated from this crate;
//! the test `the_c_header_is_current` fails when it is stale.
//!
//! All integers are little-endian; every structure has a fixed layout that is
//! asserted at compile time here and in the C header.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "control")]
extern crate alloc;

/// Asserts the layout of a structure at compile time, and keeps the list from
/// which the C header's own assertions are made.
macro_rules! layout {
    ($name:ident, $size:literal, { $($field:ident: $offset:literal),+ $(,)? }) => {
        const _: () = {
            assert!(core::mem::size_of::<$name>() == $size);
            $(assert!(core::mem::offset_of!($name, $field) == $offset);)+
        };
        impl $name {
            /// Name, size in bytes, and the offset in bytes of each field.
            pub const LAYOUT: crate::Layout = crate::Layout {
                name: stringify!($name),
                size: $size,
                fields: &[$((stringify!($field), $offset)),+],
            };
        }
    };
}

#[cfg(feature = "control")]
pub mod control;
pub mod counters;
pub mod coverage;
pub mod execution;
pub mod genetlink;
pub mod netlink;
pub mod pattern;
pub mod pci;
pub mod queue;
pub mod regs;
pub mod reply;
pub mod ring;
pub mod trace;

/// The layout of one shared structure, for the assertions in the C header.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// The Rust name of the structure.
    pub name: &'static str,
    /// Size in bytes.
    pub size: usize,
    /// Each field with its offset in bytes.
    pub fields: &'static [(&'static str, usize)],
}

/// Every structure of the C header.
pub const LAYOUTS: &[Layout] = &[
    ring::EventRecord::LAYOUT,
    trace::TraceSlot::LAYOUT,
    netlink::SubscribeRequest::LAYOUT,
    netlink::EventMessage::LAYOUT,
    queue::ListenRequest::LAYOUT,
    queue::WaitRequest::LAYOUT,
    queue::QueueHeader::LAYOUT,
    queue::QueueTail::LAYOUT,
    reply::ReplyRequest::LAYOUT,
    counters::Counters::LAYOUT,
];
