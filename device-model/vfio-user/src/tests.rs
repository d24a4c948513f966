// SPDX-License-Identifier: Apache-2.0 OR MIT

use proptest::{collection::vec, prelude::*};
use zerocopy::IntoBytes;

use super::{request::parse, *};

const BOTH: Negotiated = Negotiated {
    client_fds: 16,
    dma_data: 1 << 20,
    write_multiple: true,
};

fn message(command: u16, flags: u32, body: &[u8]) -> Vec<u8> {
    let header = Header {
        command,
        flags,
        size: (HEADER_SIZE + body.len()) as u32,
        ..Header::default()
    };
    [header.as_bytes(), body].concat()
}

/// Takes what there is.
fn take_all(framing: &mut Framing, taken: &mut Vec<Vec<u8>>) -> Result<(), StreamError> {
    while let Some(message) = framing.take()? {
        taken.push(message.to_vec());
    }
    Ok(())
}

fn put(framing: &mut Framing, bytes: &[u8]) -> usize {
    let space = framing.space();
    let len = bytes.len().min(space.len());
    space[..len].copy_from_slice(&bytes[..len]);
    framing.filled(len);
    len
}

#[test]
fn the_longest_message_fits_wherever_it_begins() {
    let long = message(10, 0, &vec![7; MAX_MESSAGE - HEADER_SIZE]);
    let short = message(13, 0, &[]);
    let stream = [short.clone(), long.clone(), short.clone(), long.clone()].concat();
    let (mut framing, mut taken) = (Framing::new(), Vec::new());
    let mut rest = stream.as_slice();
    while !rest.is_empty() {
        let put = put(&mut framing, rest);
        assert_ne!(put, 0, "there is always space");
        rest = &rest[put..];
        take_all(&mut framing, &mut taken).unwrap();
    }
    assert!(framing.is_empty());
    assert_eq!(taken, [short.clone(), long.clone(), short, long]);
}

#[test]
fn a_length_is_believed_only_between_its_bounds() {
    for (size, fits) in [
        (0, false),
        (HEADER_SIZE - 1, false),
        (HEADER_SIZE, true),
        (MAX_MESSAGE, true),
        (MAX_MESSAGE + 1, false),
        (u32::MAX as usize, false),
    ] {
        let mut bytes = message(1, 0, &[]);
        bytes[4..8].copy_from_slice(&(size as u32).to_ne_bytes());
        let mut framing = Framing::new();
        put(&mut framing, &bytes);
        assert_eq!(framing.take().is_ok(), fits, "{size}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn messages_are_the_same_however_the_stream_is_cut(
        bodies in vec(vec(any::<u8>(), 0..300), 1..20),
        cuts in vec(1..700_usize, 1..50),
    ) {
        let sent: Vec<_> = bodies.iter().map(|body| message(9, 0, body)).collect();
        let stream = sent.concat();
        let (mut framing, mut taken) = (Framing::new(), Vec::new());
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            let (piece, behind) = rest.split_at(rest.len().min(*cut));
            prop_assert_eq!(put(&mut framing, piece), piece.len());
            take_all(&mut framing, &mut taken).unwrap();
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(taken, sent);
        prop_assert!(framing.is_empty());
    }

    #[test]
    fn any_bytes_are_understood_or_refused_with_an_errno(
        command in 0..20_u16,
        flags in prop_oneof![Just(0), any::<u32>()],
        body in vec(any::<u8>(), 0..120),
        fds in 0..18_usize,
        strangers in any::<bool>(),
    ) {
        let message = message(command, flags, &body);
        let negotiated = (!strangers).then_some(&BOTH);
        if let Err(refusal) = parse(&message, fds, negotiated) {
            prop_assert_ne!(refusal.errno.raw_os_error(), 0);
        }
    }

    #[test]
    fn an_access_that_is_understood_holds_its_data(
        offset in any::<u64>(),
        region in 0..10_u32,
        count in prop_oneof![0..64_u32, any::<u32>()],
        data in vec(any::<u8>(), 0..64),
    ) {
        let body = [offset.as_bytes(), [region, count].as_bytes(), &data].concat();
        let message = message(Command::RegionWrite as u16, 0, &body);
        let parsed = parse(&message, 0, Some(&BOTH));
        let valid = region < PCI_REGIONS && count as usize == data.len();
        prop_assert_eq!(parsed.is_ok(), valid);
        if let Ok(request::Request::Write(access, found)) = parsed {
            prop_assert_eq!((access.offset, access.region), (offset, region));
            prop_assert_eq!(found, data);
        }
    }
}
