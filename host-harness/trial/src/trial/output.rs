// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a program said, kept for a report; of very much, the end.

/// Most bytes kept.
const KEPT: usize = 256 << 10;

/// Text, or the end of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    text: String,
    /// Bytes that were dropped in front.
    dropped: usize,
}

impl Output {
    /// Adds to it.
    pub(super) fn push(&mut self, text: &str) {
        self.text += text;
        // Now and then, not each time.
        if self.text.len() > 2 * KEPT {
            let cut = boundary(&self.text, self.text.len() - KEPT);
            self.dropped += cut;
            self.text.drain(..cut);
        }
    }

    /// What there is of it.
    #[must_use]
    pub fn text(&self) -> String {
        match self.dropped {
            0 => self.text.clone(),
            dropped => format!("[{dropped} bytes before this are not kept]\n{}", self.text),
        }
    }
}

/// The first place from `index` on where a character begins.
fn boundary(text: &str, index: usize) -> usize {
    (index..text.len())
        .find(|index| text.is_char_boundary(*index))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_very_much_the_end_is_kept() {
        let mut output = Output::default();
        for _ in 0..100 {
            output.push(&"€".repeat(10_000));
        }
        output.push("end");
        let text = output.text();
        assert!(text.len() < 3 * KEPT && text.ends_with("€end"));
        assert!(text.starts_with('['), "{}", &text[..60]);
    }

    #[test]
    fn of_a_little_all_is_kept() {
        let mut output = Output::default();
        output.push("a\n");
        output.push("b\n");
        assert_eq!(output.text(), "a\nb\n");
    }
}
