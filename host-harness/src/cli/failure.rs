// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said when a command fails: one line that says what went wrong; then
//! the guest's last words, if any.

use std::{error::Error, process::ExitCode};

use crate::{
    bench::BenchError, clock::ClockError, interrupt, measure::MeasureError, series::SeriesError,
    session::SessionError,
};

/// Says it, and gives the exit status.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    // Whatever fails while a run is given up is of no interest.
    if interrupt::check().is_err() {
        eprintln!("irqbed: interrupted");
        return ExitCode::from(130);
    }
    eprintln!("irqbed: error: {}", one_line(error));
    let console = error
        .chain()
        .find_map(session)
        .map_or(&[][..], SessionError::console);
    if !console.is_empty() {
        eprintln!("the guest's last lines:");
        for line in console {
            eprintln!("    {line}");
        }
    }
    ExitCode::FAILURE
}

/// The error and its causes, less those whose words are there already.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
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

/// A failed session, also within an error that passes on its words: such a
/// one has the causes of what it wraps, and not what it wraps, as its own.
fn session<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a SessionError> {
    if let Some(SeriesError::Session(error)) = cause.downcast_ref() {
        return Some(error);
    }
    match cause.downcast_ref() {
        Some(
            BenchError::Session(error)
            | BenchError::Measure(MeasureError::Session(error))
            | BenchError::Clock(ClockError::Session(error)),
        ) => Some(error),
        _ => cause.downcast_ref(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn a_cause_that_was_quoted_is_not_said_again() {
        let error = anyhow!("no space")
            .context("cannot write results: no space")
            .context("in vain");
        assert_eq!(one_line(&error), "in vain: cannot write results: no space");
    }

    #[test]
    fn an_error_of_many_lines_is_one() {
        let error = Err::<(), _>(anyhow!("a\n  b\n")).context("c").unwrap_err();
        assert_eq!(one_line(&error), "c: a b");
    }

    #[test]
    fn the_guests_words_are_found_however_deep_the_session_lies() {
        let hangs = || SessionError::Hangs {
            waiting_for: "boot".to_owned(),
            limit: Duration::from_secs(1),
            console: vec!["last".to_owned()],
        };
        for error in [
            anyhow::Error::from(hangs()),
            BenchError::from(hangs()).into(),
            BenchError::from(MeasureError::from(hangs())).into(),
            BenchError::from(ClockError::from(hangs())).into(),
        ] {
            let found = error.chain().find_map(session).expect("a session");
            assert_eq!(found.console(), ["last"]);
        }
    }
}
