// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether a text is signed by a key that is trusted: as much of OpenPGP (RFC 9580)
//! as Debian's archives use. Texts signed in place ("cleartext"), keys and signatures
//! of version 4, by RSA or Ed25519. `ring` computes; keys are trusted as a whole, with
//! the expiry that they state of themselves.

use std::time::{Duration, SystemTime};

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest},
    signature::{
        ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents,
        UnparsedPublicKey,
    },
};
use thiserror::Error;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// Why a text is not trusted.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Untrusted {
    /// It is no text that is signed in place.
    #[error("it is not signed as an archive's lists are")]
    NotSigned,
    /// Those that did, hexadecimal.
    #[error("none of the trusted keys signed it (it names {0})")]
    UnknownKeys(String),
    /// Text and signature belong to each other no more.
    #[error("its signature does not fit: it was changed on its way")]
    Forged,
    /// The key, hexadecimal.
    #[error("the key that signed it, {0}, has expired")]
    Expired(String),
    /// By more than a day.
    #[error("its signature is from the future: is this machine's clock right?")]
    FromTheFuture,
}

/// Keys that are trusted.
pub struct Keys(Vec<Key>);

struct Key {
    fingerprint: [u8; 20],
    material: Material,
    created: SystemTime,
    expires: Option<SystemTime>,
}

enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ed25519([u8; 32]),
}

struct Signature<'a> {
    kind: u8,
    algorithm: u8,
    hash: u8,
    /// From the version on, as far as it is signed.
    hashed: &'a [u8],
    created: SystemTime,
    /// For how long from its making on a key is valid, by what it says of itself.
    lifetime: Option<Duration>,
    issuer: Vec<u8>,
    numbers: Vec<&'a [u8]>,
}

/// Bytes that are taken from the front; none where too few are left.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, len: usize) -> Option<usize> {
        let bytes = self.take(len)?;
        Some(
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | usize::from(*byte)),
        )
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A number of many bits, without leading zeros.
    fn mpi(&mut self) -> Option<&'a [u8]> {
        let bits = self.number(2)?;
        self.take(bits.div_ceil(8))
    }

    /// A packet: what it is, and its body.
    fn packet(&mut self) -> Option<(u8, &'a [u8])> {
        let head = self.byte()?;
        if head & 0x80 == 0 {
            return None;
        }
        if head & 0x40 == 0 {
            let len = self.number(1 << (head & 3).min(2))?;
            return Some((head >> 2 & 0xf, self.take(len)?));
        }
        let len = self.length()?;
        Some((head & 0x3f, self.take(len)?))
    }

    /// A length in one, two or five bytes.
    fn length(&mut self) -> Option<usize> {
        match self.number(1)? {
            len @ ..192 => Some(len),
            high @ 192..224 => Some(((high - 192) << 8) + self.number(1)? + 192),
            255 => self.number(4),
            _ => None,
        }
    }
}

fn moment(seconds: usize) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds as u64)
}

impl Keys {
    /// The keys of a keyring, binary; those of kinds that are not known are left out.
    #[must_use]
    pub fn read(keyring: &[u8]) -> Self {
        let mut keys: Vec<Key> = Vec::new();
        let mut rest = Bytes(keyring);
        while let Some((kind, body)) = rest.packet() {
            match kind {
                // A key and a part of one.
                6 | 14 => keys.extend(Key::read(body)),
                // What a key says of itself.
                2 => {
                    let stated = Signature::read(body).and_then(|own| own.lifetime);
                    if let (Some(key), Some(lifetime)) = (keys.last_mut(), stated) {
                        key.expires = Some(key.created + lifetime);
                    }
                }
                _ => {}
            }
        }
        Self(keys)
    }

    /// Trusts these too.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// The text of a message that one of these keys signed.
    ///
    /// # Errors
    ///
    /// None did, or not so that it counts at `now`.
    pub fn verify(&self, message: &str, now: SystemTime) -> Result<String, Untrusted> {
        let (text, armour) = split(message).ok_or(Untrusted::NotSigned)?;
        let binary = dearmour(armour).ok_or(Untrusted::NotSigned)?;
        let mut rest = Bytes(&binary);
        let mut why = Untrusted::UnknownKeys(String::new());
        while let Some((kind, body)) = rest.packet() {
            let Some(signature) = Signature::read(body).filter(|_| kind == 2) else {
                continue;
            };
            match self.check(&signature, &text, now) {
                Ok(()) => return Ok(text.join("\n") + "\n"),
                Err(Untrusted::UnknownKeys(name)) => {
                    if let Untrusted::UnknownKeys(names) = &mut why {
                        let comma = if names.is_empty() { "" } else { ", " };
                        *names += &format!("{comma}{name}");
                    }
                }
                Err(other) => why = other,
            }
        }
        Err(why)
    }

    fn check(
        &self,
        signature: &Signature<'_>,
        text: &[&str],
        now: SystemTime,
    ) -> Result<(), Untrusted> {
        let name = hexadecimal(&signature.issuer);
        let is_issuer = |key: &&Key| {
            !signature.issuer.is_empty() && key.fingerprint.ends_with(&signature.issuer)
        };
        let key = self.0.iter().find(is_issuer);
        let key = key.ok_or_else(|| Untrusted::UnknownKeys(name.clone()))?;
        if !signature.fits(key, text) {
            return Err(Untrusted::Forged);
        }
        // Clocks differ.
        if signature.created > now + Duration::from_secs(24 * 3600) {
            return Err(Untrusted::FromTheFuture);
        }
        if key.expires.is_some_and(|end| end < now) {
            return Err(Untrusted::Expired(name));
        }
        Ok(())
    }
}

impl Key {
    fn read(body: &[u8]) -> Option<Self> {
        const ED25519_OID: [u8; 9] = [0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1];
        let mut rest = Bytes(body);
        if rest.byte()? != 4 {
            return None;
        }
        let created = moment(rest.number(4)?);
        let material = match rest.byte()? {
            1 => Material::Rsa {
                n: rest.mpi()?.to_vec(),
                e: rest.mpi()?.to_vec(),
            },
            22 => {
                let len = rest.number(1)?;
                if rest.take(len)? != ED25519_OID {
                    return None;
                }
                Material::Ed25519(rest.mpi()?.strip_prefix(&[0x40])?.try_into().ok()?)
            }
            27 => Material::Ed25519(rest.take(32)?.try_into().ok()?),
            _ => return None,
        };
        let mut hashed = vec![0x99];
        hashed.extend(u16::try_from(body.len()).ok()?.to_be_bytes());
        hashed.extend(body);
        let fingerprint = digest(&SHA1_FOR_LEGACY_USE_ONLY, &hashed);
        Some(Self {
            fingerprint: fingerprint.as_ref().try_into().ok()?,
            material,
            created,
            expires: None,
        })
    }
}

impl<'a> Signature<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        let mut rest = Bytes(body);
        let [4, kind, algorithm, hash] = *rest.take(4)? else {
            return None;
        };
        let len = rest.number(2)?;
        let mut subpackets = Bytes(rest.take(len)?);
        let hashed = &body[..6 + len];
        let len = rest.number(2)?;
        let mut unhashed = Bytes(rest.take(len)?);
        let (mut created, mut lifetime, mut issuer) = (None, None, Vec::new());
        while let Some((kind, value)) = subpacket(&mut subpackets) {
            match (kind, value) {
                (2, _) => created = Bytes(value).number(4).map(moment),
                (9, _) => {
                    let seconds = Bytes(value).number(4).filter(|seconds| *seconds > 0);
                    lifetime = seconds.map(|seconds| Duration::from_secs(seconds as u64));
                }
                (33, [4, fingerprint @ ..]) => issuer = fingerprint.to_vec(),
                (16, _) if issuer.is_empty() => issuer = value.to_vec(),
                _ => {}
            }
        }
        while let Some((kind, value)) = subpacket(&mut unhashed) {
            if kind == 16 && issuer.is_empty() {
                issuer = value.to_vec();
            }
        }
        // Two bytes of the hash.
        rest.take(2)?;
        let mut numbers = Vec::new();
        if algorithm == 27 {
            numbers.push(rest.take(64)?);
        }
        while let Some(number) = rest.mpi() {
            numbers.push(number);
        }
        Some(Self {
            kind,
            algorithm,
            hash,
            hashed,
            created: created?,
            lifetime,
            issuer,
            numbers,
        })
    }

    fn fits(&self, key: &Key, text: &[&str]) -> bool {
        // Of a text whose lines end in all systems' ways.
        if self.kind != 1 {
            return false;
        }
        let mut signed = text.join("\r\n").into_bytes();
        signed.extend(self.hashed);
        signed.extend([4, 0xff]);
        signed.extend((self.hashed.len() as u32).to_be_bytes());
        let (rsa, hash) = match self.hash {
            8 => (&RSA_PKCS1_2048_8192_SHA256, &SHA256),
            10 => (&RSA_PKCS1_2048_8192_SHA512, &SHA512),
            _ => return false,
        };
        match (&key.material, self.algorithm, &self.numbers[..]) {
            (Material::Rsa { n, e }, 1, [number]) => {
                // As long as the modulus.
                let mut padded = vec![0; n.len().saturating_sub(number.len())];
                padded.extend(*number);
                RsaPublicKeyComponents { n, e }
                    .verify(rsa, &signed, &padded)
                    .is_ok()
            }
            (Material::Ed25519(point), 22 | 27, numbers) => {
                let mut both = Vec::new();
                for number in numbers {
                    both.resize(both.len() + 32_usize.saturating_sub(number.len()), 0);
                    both.extend(*number);
                }
                let signed = digest(hash, &signed);
                UnparsedPublicKey::new(&ED25519, point)
                    .verify(signed.as_ref(), &both)
                    .is_ok()
            }
            _ => false,
        }
    }
}

fn subpacket<'a>(rest: &mut Bytes<'a>) -> Option<(u8, &'a [u8])> {
    let len = match rest.number(1)? {
        len @ ..192 => len,
        high @ 192..255 => ((high - 192) << 8) + rest.number(1)? + 192,
        _ => rest.number(4)?,
    };
    let (kind, value) = rest.take(len)?.split_first()?;
    // The highest bit says that it matters.
    Some((kind & 0x7f, value))
}

/// The lines of a message as they were signed, and the armour of its signatures.
fn split(message: &str) -> Option<(Vec<&str>, &str)> {
    let rest = message.strip_prefix(BEGIN)?;
    // Headers end with an empty line.
    let (_, rest) = rest
        .split_once("\n\n")
        .or_else(|| rest.split_once("\r\n\r\n"))?;
    let (text, armour) = rest.split_once(&format!("\n{SIGNATURE}"))?;
    let (armour, behind) = armour.split_once(END)?;
    if !behind.trim().is_empty() {
        return None;
    }
    let lines = text.split('\n').map(|line| {
        let line = line.trim_end_matches([' ', '\t', '\r']);
        line.strip_prefix("- ").unwrap_or(line)
    });
    Some((lines.collect(), armour))
}

fn dearmour(armour: &str) -> Option<Vec<u8>> {
    let (_, body) = armour
        .split_once("\n\n")
        .or_else(|| armour.split_once("\r\n\r\n"))?;
    let lines = body.lines().map(str::trim);
    // The checksum protects from nothing that the signature does not.
    let base64: String = lines.take_while(|line| !line.starts_with('=')).collect();
    BASE64_STANDARD.decode(base64).ok()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two keys made by GnuPG: one of RSA that ends with 2036, and one of Ed25519.
    const KEYS: &[u8] = include_bytes!("../tests/data/keys.pgp");
    /// What they signed, by SHA-512 and SHA-256.
    const SIGNED: [&str; 2] = [
        include_str!("../tests/data/rsa.asc"),
        include_str!("../tests/data/ed.asc"),
    ];
    const DEBIANS: &[u8] = include_bytes!("../keys/debian.pgp");

    /// Years after 1970.
    fn year(year: u64) -> SystemTime {
        moment(0) + Duration::from_secs((year - 1970) * 31_556_952)
    }

    #[test]
    fn what_a_trusted_key_signed_is_trusted() {
        let keys = Keys::read(KEYS);
        for message in SIGNED {
            let text = keys.verify(message, year(2027)).expect("trusted");
            assert_eq!(text, "Suite: test\n- dashed\nlast\n");
            let windows = message.replace('\n', "\r\n");
            keys.verify(&windows, year(2027))
                .expect("lines may end in another way");
        }
    }

    #[test]
    fn what_was_changed_or_signed_by_others_is_not() {
        let keys = Keys::read(KEYS);
        for message in SIGNED {
            let verify = |message: &str| keys.verify(message, year(2027)).unwrap_err();
            for (from, to) in [("Suite", "suite"), ("last", "last\n"), ("- - ", "- ")] {
                assert_eq!(
                    verify(&message.replacen(from, to, 1)),
                    Untrusted::Forged,
                    "{to:?}"
                );
            }
            for (from, to) in [
                (BEGIN, "-----BEGIN PGP MESSAGE-----"),
                (BEGIN, "Suite: other\n-----BEGIN PGP SIGNED MESSAGE-----"),
                (SIGNATURE, ""),
                (END, "-----END PGP SIGNATURE-----\nmore"),
            ] {
                assert_eq!(
                    verify(&message.replacen(from, to, 1)),
                    Untrusted::NotSigned,
                    "{to:?}"
                );
            }
            let others = Keys::read(DEBIANS).verify(message, year(2027)).unwrap_err();
            assert!(matches!(others, Untrusted::UnknownKeys(name) if name.len() == 40));
        }
    }

    #[test]
    fn a_key_counts_until_its_end_and_a_signature_from_its_moment_on() {
        let keys = Keys::read(KEYS);
        let [rsa, ed] = SIGNED;
        let expired = keys.verify(rsa, year(2038)).unwrap_err();
        assert!(matches!(expired, Untrusted::Expired(_)));
        keys.verify(ed, year(2038)).expect("this one has no end");
        let early = keys.verify(rsa, year(2026)).unwrap_err();
        assert_eq!(early, Untrusted::FromTheFuture);
    }

    #[test]
    fn debians_keys_are_those_it_publishes() {
        let Keys(keys) = Keys::read(DEBIANS);
        let found: Vec<_> = keys
            .iter()
            .map(|key| hexadecimal(&key.fingerprint))
            .collect();
        let security = include_str!("../../../SECURITY.md");
        for fingerprint in &found {
            assert!(security.contains(fingerprint.as_str()), "{fingerprint}");
        }
        // Each of the archive and the security updates signs by a part of its own.
        assert_eq!(found.len(), 10);
        assert!(
            keys.iter()
                .all(|key| key.expires.is_some_and(|end| end > year(2030)))
        );
    }

    proptest! {
        #[test]
        fn damaged_keys_and_signatures_are_no_more_than_not_trusted(
            which in 0..2_usize,
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut keyring = KEYS.to_vec();
            let len = keyring.len();
            keyring[at.index(len)] = byte;
            let _ = Keys::read(&keyring).verify(SIGNED[which], year(2027));

            let (text, armour) = split(SIGNED[which]).expect("signed");
            let mut signature = dearmour(armour).expect("sound");
            let index = at.index(signature.len());
            let same = signature[index] == byte;
            signature[index] = byte;
            let body = signature.get(2..).unwrap_or_default();
            if let Some(read) = Signature::read(body) {
                let keys = Keys::read(KEYS);
                let _ = keys.check(&read, &text, year(2027));
            }
            let _ = (same, Bytes(&signature).packet());
        }
    }
}
