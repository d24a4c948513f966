// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a guest is made of, to the byte, and what compiled its driver and its agent:
//! two results are of the same guest where these are the same.

use std::{fs, path::Path};

use object::{Object, ObjectSection};
use sha2::{Digest, Sha256};

use crate::{artefacts::Artefacts, initramfs};

/// Where the agent lies in the initial file system.
const AGENT: &str = "/init";

/// What could not be found out is an empty text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestBuild {
    /// SHA-256 of the kernel's image, hexadecimal.
    pub kernel_sha256: String,
    /// SHA-256 of the initial file system, which holds driver, agent and busybox.
    pub initramfs_sha256: String,
    /// The compiler of the driver, as `gcc (Debian 12.2.0-14+deb12u1) 12.2.0`.
    pub driver_compiler: String,
    /// The compiler of the agent, as `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub agent_compiler: String,
}

impl GuestBuild {
    /// Reads it from the parts of a guest.
    #[must_use]
    pub fn of(artefacts: &Artefacts) -> Self {
        let read = |path: &Path| fs::read(path).unwrap_or_default();
        let archive = read(&artefacts.initramfs);
        let agent = initramfs::file(&archive, AGENT).unwrap_or_default();
        Self {
            kernel_sha256: sha256(&read(&artefacts.kernel)),
            initramfs_sha256: sha256(&archive),
            driver_compiler: compiler(&read(&artefacts.module)),
            agent_compiler: compiler(&agent),
        }
    }
}

/// Empty for what is not there.
fn sha256(data: &[u8]) -> String {
    if data.is_empty() {
        return String::new();
    }
    let hash = Sha256::digest(data);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the first object of an ELF file was compiled by: compilers leave their names and
/// versions in `.comment`, each ended by a zero byte.
fn compiler(image: &[u8]) -> String {
    let first = || {
        let file = object::File::parse(image).ok()?;
        let comment = file.section_by_name(".comment")?.data().ok()?;
        let mut texts = comment.split(|byte| *byte == 0);
        str::from_utf8(texts.find(|text| !text.is_empty())?).ok()
    };
    // Each names itself in its own way.
    let text = first().unwrap_or_default();
    text.replacen("GCC: ", "gcc ", 1)
        .replacen("rustc version ", "rustc ", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_left_empty() {
        let artefacts = Artefacts::below("/no/such/folder".into());
        assert_eq!(GuestBuild::of(&artefacts), GuestBuild::default());
        assert_eq!(compiler(b"\x7fELF and no more"), "");
    }

    #[test]
    fn these_tests_were_compiled_by_rustc() {
        let this = fs::read("/proc/self/exe").unwrap();
        assert!(
            compiler(&this).starts_with("rustc 1."),
            "{}",
            compiler(&this)
        );
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), abc);
    }
}
