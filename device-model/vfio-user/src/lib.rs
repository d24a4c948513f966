// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The transport: the server's side of the vfio-user protocol, over which a
//! hypervisor reaches a device in another process. `docs/transport.md` says
//! what is implemented and which bounds hold. [`Client`] is a little of the
//! other side, for measurements and tests.
//!
//! A message travels from [`Connection`], which cuts the stream into messages
//! and holds their file descriptors, through [`request`], which understands
//! them, to [`Dispatcher`], which asks a [`Backend`] and writes the reply. All
//! but the first are functions of bytes: they need no socket.
//!
//! Nothing here knows what the device is.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod area;
mod backend;
mod capabilities;
mod client;
mod client_memory;
mod connection;
mod demultiplex;
mod dispatch;
mod framing;
mod protocol;
mod receive;
mod reply;
pub mod request;
pub mod socket;

pub use area::Area;
pub use backend::{Access, Backend, IoEventFd, IrqInfo, Refusal, Region};
pub use capabilities::{MAX_DMA_MAPS, Negotiated};
pub use client::{Client, ClientError, ClientRegion};
pub use client_memory::{DmaMessages, MessageError};
pub use connection::{Closed, Connection, Message};
pub use dispatch::Dispatcher;
pub use framing::{Framing, StreamError};
pub use protocol::{
    Command, HEADER_SIZE, Header, MAX_DATA, MAX_FDS, MAX_MESSAGE, PCI_IRQS, PCI_REGIONS,
};
pub use reply::Reply;

#[cfg(test)]
mod tests;
