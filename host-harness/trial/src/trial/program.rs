// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program of a trial while it runs: what it says is passed on, what it asks
//! for is done, and it ends in its time, or with the device it is about.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use irqbed_abi::control::{Ending, Reply, Request, Stream};
use irqbed_machine::{
    agent::AgentError,
    session::{Guest, SessionError, unexpected},
};

use super::{Failure, Outcome, Trial, outcome::state, steps::Steps};
use crate::scenario::{FOLDER, Scenario};

/// Where the guest's own limits are, it has this long beyond them to say so.
const GRACE: Duration = Duration::from_secs(30);

/// Who listens to a trial while its program runs.
pub struct Company<'a> {
    /// Gets what the program says as it says it.
    pub say: &'a mut dyn FnMut(Stream, &str),
    /// Is called every now and then.
    pub attend: &'a mut dyn FnMut(&mut Guest),
}

/// Takes what a program says; may end it.
type Said<'a> = dyn FnMut(&mut Guest, Stream, &str) -> Result<ControlFlow<()>, SessionError> + 'a;

impl Trial {
    pub(super) fn run_program(
        &mut self,
        scenario: &Scenario,
        company: &mut Company<'_>,
        steps: &mut Steps<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), SessionError> {
        let (argv, limit) = (
            scenario.argv.clone(),
            Duration::from_secs(scenario.description.limit),
        );
        let Company { say, attend } = company;
        let mut failed = None;
        let mut said = |guest: &mut Guest, stream, text: &str| {
            say(stream, text);
            match stream {
                Stream::Stderr => outcome.stderr.push(text),
                Stream::Stdout => {
                    outcome.stdout.push(text);
                    if failed.is_none() {
                        failed = steps.heard(text, guest)?;
                        if failed.is_some() {
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        let ended = self.watch(argv, FOLDER, limit, &mut said, *attend);
        outcome.steps.extend(steps.done());
        let ending = match ended {
            Ok(ending) => ending,
            Err(SessionError::Agent(AgentError::Failed(why))) => {
                outcome.failures.push(Failure::Start(why));
                return Ok(());
            }
            Err(error) => {
                outcome.failures.extend(failed);
                return Err(error);
            }
        };
        let stopped = failed.is_some();
        outcome.failures.extend(failed);
        match &ending {
            Ending::Exited { status } if *status == i32::from(scenario.description.status) => {}
            Ending::Exited { .. } | Ending::Signalled { .. } => outcome.failures.push(
                Failure::Program(ending.clone(), scenario.description.status),
            ),
            Ending::Limit { .. } if stopped => {}
            Ending::Limit { processes } => outcome.failures.push(Failure::Limit {
                limit,
                processes: processes.iter().filter_map(state).collect(),
            }),
            Ending::Stuck { processes } => {
                let processes = processes.iter().filter_map(state).collect();
                outcome.failures.push(Failure::Stuck(processes));
            }
        }
        if !stopped {
            outcome.failures.extend(steps.unsaid());
        }
        outcome.ending = Some(ending);
        Ok(())
    }

    /// Has a program run in a folder; `said` gets what it says, and may end it. Fails as soon as
    /// a device is gone, which the program might wait for to its last second.
    pub(super) fn watch(
        &mut self,
        argv: Vec<String>,
        folder: &str,
        limit: Duration,
        said: &mut Said<'_>,
        attend: &mut dyn FnMut(&mut Guest),
    ) -> Result<Ending, SessionError> {
        let Self { guest, devices, .. } = self;
        let deadline = Instant::now() + limit + GRACE;
        guest.send(&Request::Watch {
            argv,
            directory: folder.to_owned(),
            limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
        })?;
        let mut is_ended = false;
        let ending = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = guest.answer_watching(left, "the end of the program", |guest| {
                attend(guest);
                guest.alive()?;
                devices.check(guest)
            })?;
            match answer {
                Reply::Said { stream, text } => {
                    let next = said(guest, stream, &text)?;
                    if next.is_break() && !is_ended {
                        guest.send(&Request::EndWatch)?;
                        is_ended = true;
                    }
                }
                Reply::Ended(ending) => break ending,
                answer => {
                    return Err(unexpected("running a program".to_owned(), &answer));
                }
            }
        };
        if is_ended {
            guest.answer(&Request::EndWatch)?;
        }
        Ok(ending)
    }
}
