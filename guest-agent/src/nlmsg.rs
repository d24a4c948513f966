// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads netlink datagrams: a header and a body each, one or several in a row.
//!
//! `neli` makes our sockets and requests; what comes back is parsed here,
//! since `neli` 0.7.5 subtracts lengths of the datagram unchecked
//! (`nl_len - header_size`) and copies every payload to the heap.

use irqbed_abi::{
    genetlink::{
        A_EVENT_FLAGS, A_EVENT_PAYLOAD, A_EVENT_SEQ, A_EVENT_SLOT, A_EVENT_VECTOR, CMD_EVENT,
    },
    netlink::EventMessage,
    pci::VECTORS,
};
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

/// `struct genlmsghdr` of linux/genetlink.h: command, version, two reserved.
const GENL_HEADER: usize = 4;

/// Takes the attributes (`struct nlattr`: length with this header, type) off
/// bytes, each with its type, up to the end or to one that makes no sense.
#[derive(Debug, Clone)]
pub struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let ([len, kind], _) = <[u16; 2]>::read_from_prefix(self.0).ok()?;
        let len = usize::from(len);
        let value = self.0.get(size_of::<[u16; 2]>()..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & !ATTR_FLAGS, value))
    }
}

/// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`: no part of an attribute's type.
const ATTR_FLAGS: u16 = 0xc000;

/// The attributes in bytes.
#[inline(always)]
pub fn attributes(bytes: &[u8]) -> Attributes<'_> {
    Attributes(bytes)
}

/// Cuts the header off the body of a generic netlink message: its command, and
/// its attributes.
#[inline(always)]
pub fn genl(body: &[u8]) -> Result<(u8, Attributes<'_>), Malformed> {
    let command = body.first().ok_or(Malformed)?;
    let attributes = body.get(GENL_HEADER..).ok_or(Malformed)?;
    Ok((*command, Attributes(attributes)))
}

/// Reads an event of the driver's generic netlink family: all but the payload
/// must be there.
#[inline(always)]
pub fn genl_event(body: &[u8]) -> Result<(EventMessage, &[u8]), Malformed> {
    let (CMD_EVENT, attributes) = genl(body)? else {
        return Err(Malformed);
    };
    let (mut seq, mut slot, mut vector, mut flags) = (None, None, None, None);
    let mut payload: &[u8] = &[];
    for (kind, value) in attributes {
        match kind {
            A_EVENT_SEQ => seq = u64::read_from_bytes(value).ok(),
            A_EVENT_SLOT => slot = u32::read_from_bytes(value).ok(),
            A_EVENT_VECTOR => vector = u32::read_from_bytes(value).ok(),
            A_EVENT_FLAGS => flags = u32::read_from_bytes(value).ok(),
            A_EVENT_PAYLOAD => payload = value,
            // A later version may know more.
            _ => {}
        }
    }
    let event = EventMessage {
        seq: seq.ok_or(Malformed)?,
        slot: slot.ok_or(Malformed)?,
        vector: vector.filter(|vector| *vector < VECTORS).ok_or(Malformed)?,
        payload_len: u32::try_from(payload.len()).map_err(|_| Malformed)?,
        flags: flags.ok_or(Malformed)?,
    };
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
    let rest = echo.get(echoed.checked_next_multiple_of(4)?..)?;
    let (_, words) = attributes(rest).find(|(kind, _)| *kind == ATTR_MSG)?;
    std::str::from_utf8(words)
        .ok()
        .map(|text| text.trim_end_matches('\0'))
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

    /// An attribute as the kernel writes it.
    pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(4 + value.len()).expect("a short value");
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// The body of an event of the generic netlink family.
    pub fn genl_body(event: &EventMessage, payload: &[u8]) -> Vec<u8> {
        [
            vec![CMD_EVENT, 1, 0, 0],
            attribute(A_EVENT_SEQ, &event.seq.to_ne_bytes()),
            attribute(A_EVENT_SLOT, &event.slot.to_ne_bytes()),
            attribute(A_EVENT_VECTOR, &event.vector.to_ne_bytes()),
            attribute(A_EVENT_FLAGS, &event.flags.to_ne_bytes()),
            attribute(A_EVENT_PAYLOAD, payload),
        ]
        .concat()
    }

    fn walk(mut rest: &[u8]) -> usize {
        let mut messages = 0;
        while !rest.is_empty() {
            let Ok((_, body, next)) = split(rest) else {
                break;
            };
            let _ = event(body);
            let _ = genl_event(body);
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
    fn an_event_that_lacks_an_attribute_is_malformed() {
        let body = genl_body(&EventMessage::default(), b"");
        assert!(genl_event(&body).is_ok());
        // All are of eight bytes, but the first and the payload.
        for cut in [4..16, 16..24, 24..32, 32..40] {
            let lacking = [&body[..cut.start], &body[cut.end..]].concat();
            assert_eq!(genl_event(&lacking), Err(Malformed), "{cut:?}");
        }
        for other in [&[][..], &[CMD_EVENT, 1, 0], &[CMD_EVENT + 1, 1, 0, 0]] {
            assert_eq!(genl_event(other), Err(Malformed));
        }
    }

    #[test]
    fn an_attribute_of_another_size_or_an_unknown_vector_is_malformed() {
        let mut body = genl_body(&EventMessage::default(), b"");
        body.extend(attribute(A_EVENT_SLOT, &[0; 3]));
        assert_eq!(genl_event(&body), Err(Malformed));
        let event_33 = EventMessage {
            vector: VECTORS,
            ..Default::default()
        };
        assert_eq!(genl_event(&genl_body(&event_33, b"")), Err(Malformed));
    }

    #[test]
    fn an_attribute_that_is_not_known_is_passed_over() {
        let event = EventMessage::default();
        let body = [genl_body(&event, b""), attribute(0x99, b"news")].concat();
        assert_eq!(genl_event(&body), Ok((event, &[][..])));
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
            let body = genl_body(&sent, &payload);
            prop_assert_eq!(genl_event(&body), Ok((sent, &payload[..])));
        }

        #[test]
        fn any_attributes_are_read_to_an_end(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            kind in 0_u16..8,
        ) {
            let _ = genl_event(&bytes);
            let body = [vec![CMD_EVENT, 1, 0, 0], attribute(kind, &bytes), bytes.clone()].concat();
            let _ = genl_event(&body);
            prop_assert!(attributes(&bytes).count() <= bytes.len() / 4);
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
