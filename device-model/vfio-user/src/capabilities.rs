// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The first message of a connection: which version is spoken, and what the
//! two sides can do, in JSON.

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use zerocopy::IntoBytes;

use super::{
    backend::Refusal,
    protocol::{MAX_DATA, MAX_FDS, Version},
    request,
};

/// The version that is spoken.
const MAJOR: u16 = 0;
const MINOR: u16 = 0;
/// Longest JSON that is read, bytes; QEMU's has about 200.
const MAX_JSON: usize = 1 << 16;
/// Most pieces of memory that are kept at a time; of those in files, fewer where
/// the system's `vm.max_map_count` wants it.
pub const MAX_DMA_MAPS: u64 = 65_535;
/// Page sizes of memory that is mapped, or'ed: any multiple of the smallest.
const PAGE_SIZES: u64 = 4096;
/// What a client takes that does not say (in the specification).
const DEFAULT_FDS: u64 = 1;
const DEFAULT_DATA: u64 = 1 << 20;

/// What a client proposes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Proposal {
    capabilities: Capabilities,
}

/// Capabilities of one side; who reads them knows more than these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Capabilities {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_msg_fds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_data_xfer_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_dma_maps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pgsizes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_multiple: Option<bool>,
}

#[derive(Serialize)]
struct Answer {
    capabilities: Capabilities,
}

/// What both sides have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// Most file descriptors that the client takes with one message.
    pub client_fds: usize,
    /// Most data in one message of [`Command::DmaRead`](super::Command::DmaRead)
    /// or [`Command::DmaWrite`](super::Command::DmaWrite), bytes.
    pub dma_data: usize,
    /// Whether the client may send short writes together.
    pub write_multiple: bool,
}

/// Reads the body of a version message.
pub(super) fn read(body: &[u8]) -> Result<Proposal, Refusal> {
    let (Version { major, minor }, json) = request::version(body)?;
    if major != MAJOR {
        let why = format!("Version: {major}.{minor} is proposed, {MAJOR}.{MINOR} is spoken");
        return Err(Refusal::new(Errno::OPNOTSUPP, why));
    }
    if json.is_empty() {
        return Ok(Proposal::default());
    }
    if json.len() > MAX_JSON {
        let why = format!("Version: {} bytes of capabilities", json.len());
        return Err(Refusal::new(Errno::TOOBIG, why));
    }
    let Some(json) = json.strip_suffix(&[0]) else {
        return Err(Refusal::invalid("Version: capabilities that do not end"));
    };
    let proposal: Proposal = serde_json::from_slice(json)
        .map_err(|error| Refusal::invalid(format!("Version: capabilities: {error}")))?;
    if proposal.capabilities.max_data_xfer_size == Some(0) {
        return Err(Refusal::invalid("Version: max_data_xfer_size is 0"));
    }
    Ok(proposal)
}

impl Proposal {
    pub(super) fn negotiate(&self) -> Negotiated {
        let theirs = &self.capabilities;
        let fds = theirs.max_msg_fds.unwrap_or(DEFAULT_FDS);
        let data = theirs.max_data_xfer_size.unwrap_or(DEFAULT_DATA);
        Negotiated {
            client_fds: fds.min(MAX_FDS as u64) as usize,
            dma_data: data.min(MAX_DATA.into()) as usize,
            write_multiple: theirs.write_multiple == Some(true),
        }
    }

    /// Writes the body of the reply. What both sides must know of each other is
    /// always told, the rest only to who asked for it. `most` pieces of memory are kept.
    pub(super) fn answer(&self, most: u64, body: &mut Vec<u8>) {
        let theirs = &self.capabilities;
        let answer = Answer {
            capabilities: Capabilities {
                max_msg_fds: Some(MAX_FDS as u64),
                max_data_xfer_size: Some(MAX_DATA.into()),
                max_dma_maps: theirs.max_dma_maps.map(|theirs| theirs.min(most)),
                pgsizes: theirs.pgsizes.map(|_| PAGE_SIZES),
                write_multiple: theirs.write_multiple,
            },
        };
        let version = Version {
            major: MAJOR,
            minor: MINOR,
        };
        body.extend_from_slice(version.as_bytes());
        // Writing numbers to memory does not fail.
        if serde_json::to_writer(&mut *body, &answer).is_ok() {
            body.push(0);
        }
    }
}
