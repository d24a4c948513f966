// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A test of somebody's own driver: what it is ([`scenario`]), how it runs in a guest to a
//! verdict ([`trial`]), and how another process plugs devices into a running guest
//! ([`plugging`]). Nothing here measures.

#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod plugging;
pub mod scenario;
pub mod trial;
