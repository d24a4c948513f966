// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packages of a Debian archive, on any Linux ([`archive`]): where they come from
//! ([`mirror`]), what there is ([`lists`], [`packages`]), and their files ([`fetch`],
//! [`unpack`]). All is verified from the archive's signature on ([`openpgp`]). Of the system
//! it needs nothing; where it has apt, that is asked for a mirror.

pub mod archive;
pub mod compression;
pub mod fetch;
pub mod lists;
pub mod mirror;
pub mod openpgp;
pub mod packages;
pub mod unpack;
pub mod version;
