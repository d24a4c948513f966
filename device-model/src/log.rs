// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a program that serves devices says on standard error: the library's log, and the
//! error that ends it. Every program of the project says it by these functions, and so
//! can one of yours.

use std::{
    env,
    error::Error,
    ffi::OsStr,
    fmt,
    io::{self, IsTerminal, Write},
};

use tracing_subscriber::EnvFilter;

/// The environment variable that says what is logged: `warn`, `debug`, or a level for
/// each part, as `info,irqbed_vfio_user=debug` (the directives of
/// `tracing_subscriber::EnvFilter`).
pub const FILTER: &str = "IRQBED_LOG";

/// Logs to standard error: what [`FILTER`] says, else what `default` does. Without it a
/// device's warnings (a DMA that was refused, an interrupt that came to nobody) are lost.
///
/// # Example
/// ```no_run
/// device_model::log::to_stderr("warn");
/// ```
pub fn to_stderr(default: &str) {
    let given = env::var(FILTER).unwrap_or_default();
    let given = (!given.is_empty()).then(|| EnvFilter::try_new(&given).map_err(|why| (given, why)));
    let filter = match given {
        Some(Ok(filter)) => filter,
        Some(Err((text, why))) => {
            say(format_args!(
                "warning: {FILTER} is {text:?}, which is no log filter ({why}): give warn, info or debug"
            ));
            EnvFilter::new(default)
        }
        None => EnvFilter::new(default),
    };
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(may_style(&io::stderr()))
        .with_target(false);
    // A program has one log: the first.
    let _ = logger.try_init();
}

/// Says a line on standard error. That nobody reads it any more is no failure: `eprintln!`
/// panics there.
///
/// # Example
/// ```
/// device_model::log::say(format_args!("device: ended after {} accesses", 3));
/// ```
pub fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether escape sequences may be written there: it is a terminal that knows some
/// (`TERM` is not `dumb`), and the user does not say `NO_COLOR` (<https://no-color.org>).
#[must_use]
pub fn may_style(stream: &impl IsTerminal) -> bool {
    let (no_color, term) = (env::var_os("NO_COLOR"), env::var_os("TERM"));
    stream.is_terminal() && knows_escapes(no_color.as_deref(), term.as_deref())
}

fn knows_escapes(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_some_and(|term| term != "dumb")
}

/// A text without what would steer a terminal: escape sequences as a whole, and every
/// other control character but the tabulator.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => skip_sequence(&mut characters),
            '\t' => plain.push('\t'),
            character if character.is_control() => {}
            character => plain.push(character),
        }
    }
    plain
}

/// Passes over what follows an escape (ECMA-48): a control sequence up to its final
/// byte, a string up to its end, or one character behind intermediate ones.
fn skip_sequence(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match characters.peek() {
        Some('[') => {
            characters.next();
            while characters.next_if(|c| (' '..='?').contains(c)).is_some() {}
            characters.next_if(|c| ('@'..='~').contains(c));
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            for character in characters.by_ref() {
                if character == '\x07' || character == '\u{9c}' {
                    return;
                }
                if character == '\x1b' {
                    characters.next_if_eq(&'\\');
                    return;
                }
            }
        }
        _ => {
            while characters.next_if(|c| (' '..='/').contains(c)).is_some() {}
            characters.next_if(|c| ('0'..='~').contains(c));
        }
    }
}

/// An error and its causes in one line, each said once.
#[must_use]
pub fn one_line<'a>(causes: impl IntoIterator<Item = &'a (dyn Error + 'static)>) -> String {
    let mut line = String::new();
    for cause in causes {
        let words = cause.to_string();
        let words = words.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        if line.is_empty() {
            line = words;
        } else if !line.contains(&words) {
            line.push_str(": ");
            line.push_str(&words);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_go_as_a_whole() {
        for (text, expected) in [
            ("\x1b[2Jhello", "hello"),
            ("\x1b[1;31mred\x1b[0m\tend\r", "red\tend"),
            ("\x1b]0;title\x07a\x1b]8;;x\x1b\\b", "ab"),
            ("\x1b(Bplain\x1bc", "plain"),
            ("bell\x07 null\0", "bell null"),
            ("cut \x1b[1;", "cut "),
            ("cut \x1b", "cut "),
            ("grüße", "grüße"),
        ] {
            assert_eq!(plain(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_terminal_is_styled_unless_somebody_says_no() {
        let knows = |no_color: Option<&str>, term: Option<&str>| {
            knows_escapes(no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert!(knows(None, Some("xterm")));
        assert!(knows(Some(""), Some("xterm")));
        assert!(!knows(Some("1"), Some("xterm")));
        assert!(!knows(None, Some("dumb")));
        assert!(!knows(None, None));
    }

    #[test]
    fn a_cause_that_was_quoted_is_not_said_again() {
        let error = anyhow::anyhow!("no space")
            .context("cannot write results: no space")
            .context("a\n  b\n");
        let line = one_line(error.chain());
        assert_eq!(line, "a b: cannot write results: no space");
    }
}
