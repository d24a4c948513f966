// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads netlink datagrams: a header and a body each, one or several in a row.
//!
//! `neli` makes our sockets and requests; what comes back is parsed here,
//! since `neli` 0.7.5 subtracts lengths of the datagram unchecked
//! (`nl_len - header_size`) and copies every payload to the heap.

use irqbed_abi::{netlink::EventMessage, pci::VECTORS};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// `struct nlmsghdr` of linux/netlink.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// Length of the message with this header, bytes.
    pub len: u32,
    /// Type.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// Number of the request that this answers.
    pub seq: u32,
    /// Port id of the sender; 0 is the kernel.
    pub port: u32,
}

/// Size of [`Header`], bytes.
pub const HEADER: usize = size_of::<Header>();

/// A datagram, or a message in it, that ends before its own length says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Cuts the first message off a datagram: header, body, and what follows it.
#[inline(always)]
pub fn split(datagram: &[u8]) -> Result<(Header, &[u8], &[u8]), Malformed> {
    let (header, _) = Header::read_from_prefix(datagram).map_err(|_| Malformed)?;
    let len = header.len as usize;
    let body = datagram.get(HEADER..len).ok_or(Malformed)?;
    // Messages start at multiples of four; the last may lack its padding.
    let rest = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
    Ok((header, body, rest))
}

/// Reads the body of an event: its description and its payload, as it came.
#[inline(always)]
pub fn event(body: &[u8]) -> Result<(EventMessage, &[u8]), Malformed> {
    let (event, payload) = EventMessage::read_from_prefix(body).map_err(|_| Malformed)?;
    if event.vector >= VECTORS {
        return Err(Malformed);
    }
    Ok((event, payload))
}

/// Reads the body of `NLMSG_ERROR`: 0, or the number of the error, positive.
pub fn error(body: &[u8]) -> Result<i32, Malformed> {
    let (code, _) = i32::read_from_prefix(body).map_err(|_| Malformed)?;
    code.checked_neg()
        .filter(|code| *code >= 0)
        .ok_or(Malformed)
}

/// `NLM_F_CAPPED`: an error echoes only the header of what it refuses.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: attributes follow what an error echoes.
const ACK_TLVS: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`: the sender's words, ended by a zero.
const ATTR_MSG: u16 = 1;

/// The words that came with an `NLMSG_ERROR`, where there are any.
pub fn reason<'a>(header: &Header, body: &'a [u8]) -> Option<&'a str> {
    if header.flags & ACK_TLVS == 0 {
        return None;
    }
    let echo = body.get(size_of::<i32>()..)?;
    let (refused, _) = Header::read_from_prefix(echo).ok()?;
    let echoed = if header.flags & CAPPED != 0 {
        HEADER
    } else {
        refused.len as usize
    };
    let mut rest = echo.get(echoed.checked_next_multiple_of(4)?..)?;
    loop {
        // `struct nlattr`: length with this header, type.
        let ([len, kind], _) = <[u16; 2]>::read_from_prefix(rest).ok()?;
        let value = rest.get(size_of::<[u16; 2]>()..usize::from(len))?;
        if kind == ATTR_MSG {
            return std::str::from_utf8(value)
                .ok()
                .map(|text| text.trim_end_matches('\0'));
        }
        rest = rest.get(usize::from(len).next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
pub mod tests {
    use irqbed_abi::netlink::MSG_EVENT;
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    use super::*;

    /// A message as the driver sends it.
    pub fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(HEADER + body.len()).expect("a short body");
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// An event's message as the driver sends it.
    pub fn event_message(event: &EventMessage, payload: &[u8]) -> Vec<u8> {
        message(MSG_EVENT, &[event.as_bytes(), payload].concat())
    }

    fn walk(mut rest: &[u8]) -> usize {
        let mut messages = 0;
        while !rest.is_empty() {
            let Ok((_, body, next)) = split(rest) else {
                break;
            };
            let _ = event(body);
            let _ = error(body);
            assert!(next.len() < rest.len());
            messages += 1;
            rest = next;
        }
        messages
    }

    #[test]
    fn several_messages_in_one_datagram_are_all_found() {
        let one = event_message(
            &EventMessage {
                payload_len: 5,
                ..Default::default()
            },
            b"hello",
        );
        assert_eq!(walk(&[one.clone(), one.clone(), one].concat()), 3);
    }

    #[test]
    fn a_message_longer_than_its_datagram_is_malformed() {
        let mut bytes = message(MSG_EVENT, &[0; 24]);
        bytes.truncate(30);
        assert_eq!(split(&bytes), Err(Malformed));
        assert_eq!(
            split(&[0; 16]),
            Err(Malformed),
            "a length below the header's own"
        );
    }

    #[test]
    fn an_unknown_vector_is_malformed() {
        let event_33 = EventMessage {
            vector: VECTORS,
            ..Default::default()
        };
        assert_eq!(event(event_33.as_bytes()), Err(Malformed));
    }

    #[test]
    fn an_error_is_zero_or_positive() {
        assert_eq!(error(&(-13_i32).to_ne_bytes()), Ok(13));
        assert_eq!(error(&0_i32.to_ne_bytes()), Ok(0));
        assert_eq!(error(&7_i32.to_ne_bytes()), Err(Malformed));
        assert_eq!(error(&i32::MIN.to_ne_bytes()), Err(Malformed));
    }

    fn refusal(flags: u16, echo: &[u8], attributes: &[u8]) -> Option<String> {
        let body = [&(-1_i32).to_ne_bytes()[..], echo, attributes].concat();
        let header = Header {
            len: 0,
            kind: 2,
            flags,
            seq: 0,
            port: 0,
        };
        reason(&header, &body).map(str::to_owned)
    }

    #[test]
    fn the_words_of_a_refusal_are_found() {
        let echo = message(0x10, b"12345678");
        let words = b"\x08\0\x02\0abcd\x07\0\x01\0no\0\0";
        assert_eq!(refusal(ACK_TLVS, &echo, words).as_deref(), Some("no"));
        assert_eq!(
            refusal(ACK_TLVS | CAPPED, &echo[..16], words).as_deref(),
            Some("no")
        );
        assert_eq!(refusal(0, &echo, words), None);
        assert_eq!(refusal(ACK_TLVS, &echo, b""), None);
        assert_eq!(
            refusal(ACK_TLVS, &echo, &[0; 40]),
            None,
            "an attribute without length"
        );
    }

    proptest! {
        #[test]
        fn any_refusal_is_read_to_an_end(
            len in 0_u32..40,
            flags: u16,
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let echo = [&len.to_ne_bytes()[..], &bytes].concat();
            refusal(flags | ACK_TLVS, &echo, &[]);
        }

        #[test]
        fn an_event_comes_back_as_it_was_sent(
            seq: u64, slot: u32, vector in 0..VECTORS, flags: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..4096),
        ) {
            let payload_len = u32::try_from(payload.len()).expect("at most 4096");
            let sent = EventMessage { seq, slot, vector, payload_len, flags };
            let bytes = event_message(&sent, &payload);
            let (header, body, rest) = split(&bytes).expect("a message");
            prop_assert_eq!(header.kind, MSG_EVENT);
            prop_assert!(rest.is_empty());
            prop_assert_eq!(event(body), Ok((sent, &payload[..])));
        }

        #[test]
        fn any_datagram_is_walked_to_an_end(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            len in 0_u32..64,
        ) {
            walk(&bytes);
            let mut plausible = len.to_ne_bytes().to_vec();
            plausible.extend(&bytes);
            walk(&plausible);
        }
    }
}
