// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the benches of this folder stand on: a guest whose events criterion
//! measures by their stamps, a client that drives the device without a
//! hypervisor, the least that an interrupt costs on this machine, and devices of
//! QEMU's own to compare with.
//!
//! Each bench measures one leg of the journey of an event, or all of it; see
//! `README.md` beside this crate.

pub mod access;
pub mod client;
pub mod guest;
pub mod image;
pub mod ivshmem;
pub mod kvm_floor;
pub mod peers;
pub mod stamped;
