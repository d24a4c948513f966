// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A distribution as text: HdrHistogram's V2 format, deflated, in base64, as
//! its other implementations and its log files have it.

use std::io::{self, Read};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::ZlibDecoder;
use hdrhistogram::{
    Histogram,
    serialization::{DeserializeError, Deserializer, Serializer, V2DeflateSerializer},
};

use crate::{stages::Distribution, units::Unit};

/// Significant digits of a histogram of nanoseconds: 0.1 %.
const NANOSECOND_DIGITS: u8 = 3;
/// Significant digits of a histogram of instructions: exact to 262,143.
const INSTRUCTION_DIGITS: u8 = 5;

/// Longest deflated and longest inflated histogram that is read, bytes.
const MOST: u64 = 64 << 20;
/// V2 and its header in front of the counts, and where their length stands.
const DEFLATED_HEADER: usize = 8;
const PLAIN_HEADER: usize = 40;
const PLAIN_LENGTH: std::ops::Range<usize> = 4..8;

/// The histogram of a document cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistogramError {
    /// Not base64.
    #[error("the histogram is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// Not deflated, or cut short.
    #[error("the histogram cannot be inflated: {0}")]
    Inflate(#[from] io::Error),
    /// The length in its header is not its length.
    #[error("the histogram states a length of {stated} bytes and has {found}")]
    Length {
        /// Bytes of counts by the header.
        stated: u64,
        /// Bytes of counts there are.
        found: u64,
    },
    /// Not HdrHistogram V2.
    #[error("the histogram is not in HdrHistogram's V2 format: {0}")]
    Format(#[from] DeserializeError),
    /// It belongs to other figures.
    #[error("the histogram holds {found} values where {stated} are stated")]
    Count {
        /// Values by the document.
        stated: u64,
        /// Values in the histogram.
        found: u64,
    },
}

/// Significant digits of the histogram of a stage.
pub(super) const fn digits(unit: Unit) -> u8 {
    match unit {
        Unit::Nanoseconds => NANOSECOND_DIGITS,
        Unit::Instructions => INSTRUCTION_DIGITS,
    }
}

/// A distribution as text, to so many significant digits, 1 to 5.
pub(super) fn encode(digits: u8, distribution: &Distribution) -> String {
    let highest = distribution
        .max()
        .unwrap_or(0)
        .clamp(2, i64::MAX.cast_unsigned());
    let mut histogram = Histogram::<u64>::new_with_bounds(1, highest, digits)
        .expect("bounds of 1 and at least 2, and at most 5 digits");
    for (value, count) in distribution.iter() {
        histogram.saturating_record_n(value, count);
    }
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(&histogram, &mut bytes)
        .expect("a vector takes everything, and counts of a run are far below 2^63");
    STANDARD.encode(bytes)
}

/// The distribution of a text from outside.
pub(super) fn decode(text: &str) -> Result<Histogram<u64>, HistogramError> {
    let deflated = STANDARD.decode(text)?;
    // Inflated here, because the library believes the length that is stated.
    let mut plain = Vec::new();
    ZlibDecoder::new(deflated.get(DEFLATED_HEADER..).unwrap_or_default())
        .take(MOST)
        .read_to_end(&mut plain)?;
    let stated = plain
        .get(PLAIN_LENGTH)
        .and_then(|bytes| bytes.try_into().ok());
    let stated = stated.map_or(0, |bytes| u64::from(u32::from_be_bytes(bytes)));
    let found = plain.len().saturating_sub(PLAIN_HEADER) as u64;
    if stated != found {
        return Err(HistogramError::Length { stated, found });
    }
    Ok(Deserializer::new().deserialize(&mut plain.as_slice())?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn distribution(values: &[i64]) -> Distribution {
        let mut distribution = Distribution::default();
        values.iter().for_each(|&value| distribution.record(value));
        distribution
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_instruction_count_up_to_262143_survives_exactly(
            values in prop::collection::vec(0i64..262_144, 1..100),
        ) {
            let before = distribution(&values);
            let after = decode(&encode(INSTRUCTION_DIGITS, &before)).unwrap();
            let after: Vec<(u64, u64)> = after
                .iter_recorded()
                .map(|step| (step.value_iterated_to(), step.count_at_value()))
                .collect();
            prop_assert_eq!(after, before.iter().collect::<Vec<_>>());
        }

        #[test]
        fn nanoseconds_survive_within_a_thousandth(value in 0i64..i64::MAX) {
            let after = decode(&encode(NANOSECOND_DIGITS, &distribution(&[value]))).unwrap();
            let off = after.max().abs_diff(value.cast_unsigned());
            prop_assert!(off <= value.cast_unsigned() / 1000);
        }

        #[test]
        fn foreign_text_is_an_error_and_no_panic(text in "[A-Za-z0-9+/]{0,80}") {
            prop_assert!(decode(&text).is_err());
        }

        #[test]
        fn a_damaged_histogram_is_no_panic(at in 0usize..60, byte in any::<u8>()) {
            let mut bytes = STANDARD.decode(encode(NANOSECOND_DIGITS, &distribution(&[5, 700]))).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = decode(&STANDARD.encode(bytes));
        }
    }

    #[test]
    fn the_text_is_what_other_implementations_read() {
        // The cookie of the deflated V2 format in base64.
        assert!(encode(NANOSECOND_DIGITS, &distribution(&[1])).starts_with("HISTFAAAA"));
    }

    #[test]
    fn a_histogram_cut_short_is_an_error() {
        let text = encode(INSTRUCTION_DIGITS, &distribution(&[6_723, 6_723, 66_159]));
        assert!(decode(&text[..text.len() - 8]).is_err());
        assert!(decode("").is_err());
    }

    #[test]
    fn a_stated_length_beyond_the_data_is_refused_before_it_is_allocated() {
        let mut plain = vec![0; PLAIN_HEADER];
        plain[PLAIN_LENGTH].copy_from_slice(&u32::MAX.to_be_bytes());
        let mut deflated = vec![0; DEFLATED_HEADER];
        flate2::write::ZlibEncoder::new(&mut deflated, flate2::Compression::fast())
            .write_all(&plain)
            .unwrap();
        let error = decode(&STANDARD.encode(deflated)).unwrap_err();
        assert!(matches!(
            error,
            HistogramError::Length {
                stated: 0xffff_ffff,
                found: 0
            }
        ));
    }
}
