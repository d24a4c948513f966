// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said when a command fails: one line that says what went wrong; then
//! the guest's last words, if any.

use std::{error::Error, process::ExitCode};

use device_model::log;
use irqbed_machine::{interrupt, session::SessionError};
use irqbed_measure::{
    bench::BenchError, clock::ClockError, measure::MeasureError, series::SeriesError,
};

use super::BadInput;

/// Exit status after Ctrl-C.
pub(super) const INTERRUPTED: u8 = 130;

/// Says it, and gives the exit status.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    // Whatever fails while a run is given up is of no interest.
    if interrupt::check().is_err() {
        log::say(format_args!("irqbed: interrupted"));
        return ExitCode::from(INTERRUPTED);
    }
    log::say(format_args!(
        "irqbed: error: {}",
        log::one_line(error.chain())
    ));
    let console = error
        .chain()
        .find_map(session)
        .map_or(&[][..], SessionError::console);
    if !console.is_empty() {
        log::say(format_args!("the guest's last lines:"));
        for line in console {
            log::say(format_args!("    {line}"));
        }
    }
    match error.is::<BadInput>() {
        true => ExitCode::from(2),
        false => ExitCode::FAILURE,
    }
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

    use super::*;

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
