// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest that sleeps, and how it is woken. From suspend to idle a byte on the
//! control line wakes it, by the interrupt of that line; from suspend to RAM, in which
//! QEMU stops the processors, the command `system_wakeup` does.

use std::time::{Duration, Instant};

use irqbed_abi::control::{Reply, Request, SleepState, Suspend};
use serde_json::json;

use super::{Guest, SessionError, guest::unexpected};
use crate::{
    agent::AgentError,
    qmp::{Event, QmpError},
};

/// How long the guest may take to suspend and to resume, beside the time that it is
/// asleep: its kernel gives processes 20 s to freeze.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two bytes that are to wake the guest: one that comes before it sleeps does not.
const AGAIN: Duration = Duration::from_millis(200);
/// How long an event of QEMU's is waited for at a time.
const LOOK: Duration = Duration::from_millis(20);

/// The guest was not suspended, or did not resume well.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct SuspendError {
    why: String,
}

impl Guest {
    /// Suspends the guest, has it sleep for `wake`, wakes it, and returns when it has
    /// resumed. A [test](Suspend::pm_test) ends by itself. The machine of a guest that
    /// is to be suspended to RAM is told so before it boots
    /// ([`Machine::suspends_to_ram`](crate::qemu::Machine::suspends_to_ram)).
    ///
    /// # Errors
    /// [`SessionError::Suspend`] when the kernel refuses; whatever else there is when
    /// the guest does not come back.
    pub fn suspend(&mut self, suspend: Suspend, wake: Duration) -> Result<(), SessionError> {
        let suspended = self.suspend_and_wake(suspend, wake);
        suspended.map_err(|error| self.in_words_of_qemu(error))
    }

    fn suspend_and_wake(&mut self, suspend: Suspend, wake: Duration) -> Result<(), SessionError> {
        if suspend.is_to_ram() && self.qmp().is_none() {
            let why = "the machine was started without suspend to RAM".to_owned();
            return Err(SuspendError { why }.into());
        }
        self.send(&Request::Suspend(suspend))?;
        self.answer_to_suspend(LIMIT, |_| Ok(()), Reply::Suspending)?;
        let mut sleep = Sleep::new(suspend, wake);
        let limit = LIMIT + wake + Duration::from_secs(suspend.pause_s.into());
        self.answer_to_suspend(limit, |guest| sleep.attend(guest), Reply::Done)
    }

    /// Waits for one answer. What a watched program says meanwhile is for who watches it.
    fn answer_to_suspend(
        &mut self,
        limit: Duration,
        mut attend: impl FnMut(&mut Self) -> Result<(), SessionError>,
        wanted: Reply,
    ) -> Result<(), SessionError> {
        let waiting_for = match wanted {
            Reply::Suspending => "a suspend",
            _ => "its resume",
        };
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.new_answer(left, waiting_for, &mut attend) {
                Ok(answer) if answer == wanted => return Ok(()),
                Ok(answer @ (Reply::Said { .. } | Reply::Ended(_))) => {
                    self.unheard.push_back(answer);
                }
                Ok(answer) => return Err(unexpected(waiting_for.to_owned(), &answer)),
                Err(SessionError::Agent(AgentError::Failed(why))) => {
                    return Err(SuspendError { why }.into());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A guest on its way into a sleep and out of it.
struct Sleep {
    suspend: Suspend,
    wake: Duration,
    /// Since when it is asleep, as far as that is known.
    since: Option<Instant>,
    /// When it was last woken.
    woken: Option<Instant>,
}

impl Sleep {
    fn new(suspend: Suspend, wake: Duration) -> Self {
        Self {
            suspend,
            wake,
            // Nobody says when processors idle for good.
            since: (suspend.state == SleepState::Freeze).then(Instant::now),
            woken: None,
        }
    }

    /// Wakes the guest once it is time.
    fn attend(&mut self, guest: &mut Guest) -> Result<(), SessionError> {
        if self.suspend.pm_test.is_some() {
            return Ok(());
        }
        if self.since.is_none() && is_suspended(guest)? {
            self.since = Some(Instant::now());
        }
        let Some(since) = self.since else {
            return Ok(());
        };
        if since.elapsed() < self.wake || self.woken.is_some_and(|at| at.elapsed() < AGAIN) {
            return Ok(());
        }
        match self.suspend.state {
            SleepState::Freeze => guest.wake_by_line()?,
            SleepState::Mem if self.woken.is_some() => {}
            SleepState::Mem => wake_by_qemu(guest)?,
        }
        self.woken = Some(Instant::now());
        Ok(())
    }
}

/// Whether QEMU has said, since it was last asked, that the guest is in S3.
fn is_suspended(guest: &mut Guest) -> Result<bool, SessionError> {
    let Some(qmp) = guest.qmp() else {
        return Ok(false);
    };
    match qmp.wait_for("SUSPEND", LOOK, |event: &Event| event.name == "SUSPEND") {
        Ok(_) => Ok(true),
        Err(QmpError::Silent { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn wake_by_qemu(guest: &mut Guest) -> Result<(), SessionError> {
    let Some(qmp) = guest.qmp() else {
        return Ok(());
    };
    match qmp.execute("system_wakeup", json!({})) {
        Ok(_) => Ok(()),
        // An alarm of the guest's own clock has woken it.
        Err(QmpError::Refused { description, .. }) => {
            tracing::debug!("the guest is awake already: {description}");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
