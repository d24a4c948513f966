// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A suspend that somebody asks for, and how long the guest sleeps.

use std::{fmt, str::FromStr, time::Duration};

use irqbed_abi::control::{PmTest, SleepState, Suspend};

/// How long a guest sleeps unless said otherwise.
const WAKE: Duration = Duration::from_secs(1);

/// A suspend, and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sleep {
    /// How the guest is suspended.
    pub suspend: Suspend,
    /// How long it sleeps before it is woken. In a test the kernel pauses as long, in
    /// whole seconds, and resumes by itself.
    pub wake: Duration,
}

impl Sleep {
    /// A suspend, or a test of one that goes as far as a level.
    pub(super) fn new(state: SleepState, pm_test: Option<PmTest>, wake: Option<Duration>) -> Self {
        let wake = wake.unwrap_or(WAKE);
        let suspend = Suspend {
            state,
            pm_test,
            pause_s: u32::try_from(wake.as_secs()).unwrap_or(u32::MAX),
        };
        Self { suspend, wake }
    }

    /// Why the kernel cannot do it, if it cannot.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.suspend.is_possible() {
            return Ok(());
        }
        Err(
            "suspend to idle turns no processor off, so it has no such test: give freezer, \
             devices or platform"
                .to_owned(),
        )
    }
}

impl fmt::Display for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.suspend.pm_test {
            Some(_) => self.suspend.fmt(f),
            None => write!(f, "{}, wake after {:?}", self.suspend, self.wake),
        }
    }
}

/// `mem`, `freeze`, or `mem:devices` for a test.
impl FromStr for Sleep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (state, level) = match text.split_once(':') {
            Some((state, level)) => (state, Some(level)),
            None => (text, None),
        };
        let states = [SleepState::Freeze, SleepState::Mem];
        let state = states.into_iter().find(|known| known.as_str() == state);
        let state = state.ok_or("give freeze or mem, or mem:LEVEL for a test")?;
        let of_name = |name: &str| PmTest::ALL.into_iter().find(|known| known.as_str() == name);
        let level = level.map(|name| {
            let names = PmTest::ALL.map(PmTest::as_str).join(", ");
            of_name(name).ok_or_else(|| format!("a test goes as far as one of: {names}"))
        });
        let sleep = Self::new(state, level.transpose()?, None);
        sleep.check().map(|()| sleep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_read_as_it_is_asked_for() {
        let read = |text: &str| text.parse::<Sleep>().map(|sleep| sleep.to_string());
        let words = |text: &str| Ok(text.to_owned());
        assert_eq!(read("freeze"), words("suspend to idle, wake after 1s"));
        assert_eq!(read("mem"), words("suspend to RAM, wake after 1s"));
        assert_eq!(
            read("mem:core"),
            words("suspend to RAM as far as pm_test=core")
        );
        for (text, word) in [
            ("disk", "freeze or mem"),
            ("mem:all", "processors"),
            ("freeze:core", "no such test"),
        ] {
            let why = read(text).expect_err(text);
            assert!(why.contains(word), "{why}");
        }
    }
}
