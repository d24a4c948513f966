// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a guest is suspended, in the kernel's own words
//! (Documentation/admin-guide/pm/sleep-states.rst, Documentation/power/basic-pm-debugging.rst).

use core::fmt;

use serde::{Deserialize, Serialize};

/// A sleep state, by the name that `/sys/power/state` has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SleepState {
    /// Suspend to idle (s2idle): the processors idle, and an interrupt wakes them.
    Freeze,
    /// Suspend to RAM (ACPI S3): the machine is off but for its memory.
    Mem,
}

impl SleepState {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::Mem => "mem",
        }
    }
}

impl fmt::Display for SleepState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Freeze => "suspend to idle",
            Self::Mem => "suspend to RAM",
        })
    }
}

/// How far a suspend goes that is only a test, by the name that `/sys/power/pm_test`
/// has for it. The kernel pauses there and resumes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PmTest {
    /// Processes are frozen.
    Freezer,
    /// And devices are suspended.
    Devices,
    /// And the platform is prepared; devices are suspended without interrupts, too.
    Platform,
    /// And all processors but one are off.
    Processors,
    /// And the core of the system (clocks, interrupt controllers) is suspended.
    Core,
}

impl PmTest {
    /// All of them, in the order in which a suspend passes them.
    pub const ALL: [Self; 5] = [
        Self::Freezer,
        Self::Devices,
        Self::Platform,
        Self::Processors,
        Self::Core,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Freezer => "freezer",
            Self::Devices => "devices",
            Self::Platform => "platform",
            Self::Processors => "processors",
            Self::Core => "core",
        }
    }
}

impl fmt::Display for PmTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A suspend of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspend {
    /// The state.
    pub state: SleepState,
    /// How far, where it is a test.
    pub pm_test: Option<PmTest>,
    /// How long the kernel pauses in a test, seconds.
    pub pause_s: u32,
}

impl Suspend {
    /// Whether the kernel can do it. Suspend to idle turns no processor off, and so a
    /// test that goes as far would be no test: the guest would sleep.
    #[must_use]
    pub const fn is_possible(&self) -> bool {
        !matches!(
            (self.state, self.pm_test),
            (SleepState::Freeze, Some(PmTest::Processors | PmTest::Core))
        )
    }

    /// Whether the machine is off meanwhile.
    #[must_use]
    pub const fn is_to_ram(&self) -> bool {
        matches!((self.state, self.pm_test), (SleepState::Mem, None))
    }
}

impl fmt::Display for Suspend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pm_test {
            None => self.state.fmt(f),
            Some(level) => write!(f, "{} as far as pm_test={level}", self.state),
        }
    }
}
