// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The trace that the guest's kernel keeps of itself: started, frozen, fetched.

use std::io::{self, Read};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::DeflateDecoder;
use irqbed_abi::control::{Reply, Request, TRACE_PIECE, TraceSummary};

use super::{Session, SessionError};
use crate::agent::AgentError;

/// Most bytes of a trace that are taken from a guest.
const MOST: usize = 512 << 20;

impl Session {
    /// Has the guest's kernel trace scheduler and interrupts, stamped by its
    /// time stamp counter, with room of so many KiB for each processor.
    ///
    /// # Errors
    /// [`SessionError::Agent`] with its words where the kernel cannot.
    pub fn start_trace(&mut self, room_kib: u32) -> Result<(), SessionError> {
        self.guest.expect_done(Request::StartTrace { room_kib })
    }

    /// Has the kernel trace no more, and keep what there is.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn freeze_trace(&mut self) -> Result<(), SessionError> {
        self.guest.expect_done(Request::FreezeTrace)
    }

    /// Freezes the trace, if it is not: what it holds, and the tasks there are.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn summarize_trace(&mut self) -> Result<TraceSummary, SessionError> {
        self.guest
            .ask_for(Request::SummarizeTrace, |answer| match answer {
                Reply::Trace(summary) => Ok(summary),
                answer => Err(answer),
            })
    }

    /// The text of a frozen trace.
    ///
    /// # Errors
    /// [`SessionError`], also for a guest that sends what cannot be.
    pub fn trace_text(&mut self) -> Result<Vec<u8>, SessionError> {
        let mut text = Vec::new();
        loop {
            let (deflated, bytes) =
                self.guest
                    .ask_for(Request::ReadTrace, |answer| match answer {
                        Reply::TracePiece { deflated, bytes } => Ok((deflated, bytes)),
                        answer => Err(answer),
                    })?;
            if bytes == 0 {
                return Ok(text);
            }
            let piece = inflate(&deflated, bytes).map_err(AgentError::Io)?;
            text.extend(piece);
            if text.len() > MOST {
                let error =
                    io::Error::other(format!("the guest's trace has more than {MOST} bytes"));
                return Err(AgentError::Io(error).into());
            }
        }
    }
}

/// The text of a piece, which must have the length that it claims.
fn inflate(deflated: &str, bytes: u32) -> io::Result<Vec<u8>> {
    let odd = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    if bytes > TRACE_PIECE {
        return Err(odd(format!("a piece of the trace claims {bytes} bytes")));
    }
    let deflated = STANDARD.decode(deflated).map_err(io::Error::other)?;
    let mut text = Vec::new();
    let most = u64::from(bytes) + 1;
    DeflateDecoder::new(&*deflated)
        .take(most)
        .read_to_end(&mut text)?;
    if text.len() == bytes as usize {
        Ok(text)
    } else {
        Err(odd(format!(
            "a piece of the trace claims {bytes} bytes and has {} or more",
            text.len()
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::DeflateEncoder};

    use super::*;

    fn deflate(text: &[u8]) -> String {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).expect("memory");
        STANDARD.encode(encoder.finish().expect("memory"))
    }

    #[test]
    fn a_piece_is_as_long_as_it_claims_or_refused() {
        let piece = deflate(b"four");
        assert_eq!(inflate(&piece, 4).expect("good"), b"four");
        for wrong in [1, 3, 5, TRACE_PIECE, TRACE_PIECE + 1, u32::MAX] {
            assert!(inflate(&piece, wrong).is_err(), "{wrong}");
        }
        assert!(inflate("%", 1).is_err());
        assert!(inflate("AAAA", 1).is_err());
    }

    #[test]
    fn a_piece_that_inflates_without_end_is_cut() {
        let bomb = deflate(&vec![0; 64 << 20]);
        assert!(inflate(&bomb, TRACE_PIECE).is_err());
    }
}
