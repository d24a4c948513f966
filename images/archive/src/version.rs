// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The order of versions, as Debian Policy has it (5.6.12).

use std::cmp::Ordering;

/// Which of two versions is the newer one.
#[must_use]
pub fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (Parts::of(one), Parts::of(other));
    number(one.epoch, other.epoch)
        .then_with(|| part(one.upstream, other.upstream))
        .then_with(|| part(one.revision, other.revision))
}

struct Parts<'a> {
    epoch: &'a str,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Parts<'a> {
    fn of(version: &'a str) -> Self {
        let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self {
            epoch,
            upstream,
            revision,
        }
    }
}

/// Text and numbers in turns.
fn part(mut one: &str, mut other: &str) -> Ordering {
    while !(one.is_empty() && other.is_empty()) {
        let (text, digits, rest) = first(one);
        let (other_text, other_digits, other_rest) = first(other);
        let order = text_order(text, other_text).then_with(|| number(digits, other_digits));
        if order.is_ne() {
            return order;
        }
        (one, other) = (rest, other_rest);
    }
    Ordering::Equal
}

/// What stands before the first number, that number, and what stands behind it.
fn first(part: &str) -> (&str, &str, &str) {
    let is_digit = |c: char| c.is_ascii_digit();
    let (text, rest) = part.split_at(part.find(is_digit).unwrap_or(part.len()));
    let (digits, rest) = rest.split_at(rest.find(|c| !is_digit(c)).unwrap_or(rest.len()));
    (text, digits, rest)
}

/// A tilde before the end, the end before letters, these before all else.
fn text_order(one: &str, other: &str) -> Ordering {
    let rank = |byte: Option<u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(letter),
        Some(sign) => i32::from(sign) + 256,
    };
    let length = one.len().max(other.len());
    let at = |text: &str, index| rank(text.as_bytes().get(index).copied());
    (0..length)
        .map(|index| at(one, index).cmp(&at(other, index)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn number(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_in_the_order_of_debian_policy() {
        let ordered = [
            "0.9~~",
            "0.9~~a",
            "0.9~",
            "0.9",
            "0.9a",
            "0.9+b1",
            "1.0~rc1-1",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1.1",
            "1.0-2~bpo13+1",
            "1.0-2",
            "1.0.1-1",
            "1.2-1",
            "1.10-1",
            "1:0.1-1",
            "2:0.0.1",
        ];
        for (index, older) in ordered.iter().enumerate() {
            assert_eq!(compare(older, older), Ordering::Equal);
            for newer in &ordered[index + 1..] {
                assert_eq!(compare(older, newer), Ordering::Less, "{older} {newer}");
                assert_eq!(compare(newer, older), Ordering::Greater, "{newer} {older}");
            }
        }
        assert_eq!(compare("0:1.0", "1.0"), Ordering::Equal);
        assert_eq!(compare("1.00-01", "1.0-1"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn the_order_is_total(
            one in "[0-9]?:?[0-9a-z.+~-]{0,8}",
            two in "[0-9]?:?[0-9a-z.+~-]{0,8}",
            three in "[0-9a-z.+~-]{0,8}",
        ) {
            prop_assert_eq!(compare(&one, &two), compare(&two, &one).reverse());
            if compare(&one, &two).is_le() && compare(&two, &three).is_le() {
                prop_assert!(compare(&one, &three).is_le());
            }
        }
    }
}
