// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The protocol, message by message, as a client sees it that says whatever it
//! likes: what is answered, with which errno, and what is left behind.

mod client;
mod dma_messages;
mod fixture;
mod interrupts;
mod memory;
mod raw;
mod reconnect;
mod regions;
#[path = "../common/send.rs"]
mod send;
mod stream;
mod version;
