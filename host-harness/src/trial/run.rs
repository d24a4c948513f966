// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A trial from its first module to its verdict: whether driver, program and devices
//! did well.

use irqbed_abi::control::{Ending, KernelMessage, Reply, Request};

use super::{Company, Failure, Outcome, Trial, findings, steps::Steps};
use crate::{
    agent::AgentError,
    scenario::{Module, Scenario},
    session::SessionError,
};

/// Lines of the kernel's that explain why a module does not load.
const SHOWN: usize = 5;
/// Lines of the console that are shown of a guest that died.
const LAST_WORDS: usize = 60;

impl Trial {
    /// Runs the scenario to its end.
    ///
    /// # Errors
    /// [`SessionError::Interrupted`]; whatever else happens is an outcome.
    pub fn run(
        mut self,
        scenario: &Scenario,
        company: &mut Company<'_>,
    ) -> Result<Outcome, SessionError> {
        let mut outcome = Outcome::default();
        let mut steps = Steps::new(&scenario.steps);
        let went = self.go(scenario, company, &mut steps, &mut outcome);
        outcome.faults = self.faults();
        outcome.faults.extend(steps.faults());
        let console = self.guest.console(LAST_WORDS);
        let started = self.started;
        let went = went.and_then(|()| self.guest.power_off());
        outcome.duration = started.elapsed();
        match went {
            Ok(()) => {}
            Err(error @ SessionError::Interrupted(_)) => return Err(error),
            Err(SessionError::Device(why)) => outcome.failures.push(Failure::Device(why)),
            Err(error) => outcome.failures.push(Failure::Guest {
                message: error.to_string(),
                console,
            }),
        }
        Ok(outcome)
    }

    fn go(
        &mut self,
        scenario: &Scenario,
        company: &mut Company<'_>,
        steps: &mut Steps<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), SessionError> {
        // What the boot said is not the driver's.
        self.messages()?;
        let leaks = self.begin_to_look_for_leaks()?;
        let mut messages = Messages::default();
        let mut loaded = Vec::new();
        for module in &scenario.modules {
            match self.load(module) {
                Ok(()) => loaded.push(module),
                Err(SessionError::Agent(AgentError::Failed(why))) => {
                    messages.add(self.messages()?);
                    // A report of the kernel's says more, and is a failure of its own.
                    let reported = !findings(&messages.list, &[]).is_empty();
                    let words = messages.last(if reported { 0 } else { SHOWN });
                    outcome
                        .failures
                        .push(Failure::Load(with_words(&why, &words)));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if outcome.passed() && !scenario.argv.is_empty() {
            self.run_program(scenario, company, steps, outcome)?;
        }
        if matches!(outcome.ending, Some(Ending::Stuck { .. })) {
            outcome
                .notes
                .push("the modules were not unloaded: the program is still in them".to_owned());
        } else {
            // While the modules are there their functions have names; what they
            // forget to free at their end shows after it.
            if leaks {
                outcome.failures.extend(self.leaks()?.map(Failure::Leak));
            }
            for module in loaded.iter().rev() {
                self.unload(module, outcome)?;
            }
            if leaks {
                outcome.failures.extend(self.leaks()?.map(Failure::Leak));
            } else {
                outcome.notes.push(
                    "leaks were not looked for: this kernel has no kmemleak, 6.12-debug has"
                        .to_owned(),
                );
            }
        }
        messages.add(self.messages()?);
        let found = findings(&messages.list, &scenario.allowed);
        outcome
            .failures
            .extend(found.into_iter().map(Failure::Kernel));
        outcome.kernel_log = messages.list.iter().map(as_dmesg).collect();
        if messages.left_out > 0 {
            outcome.failures.push(Failure::Guest {
                message: format!(
                    "the kernel said too much: {} of its messages were not read",
                    messages.left_out
                ),
                console: Vec::new(),
            });
        }
        self.devices_work()
    }

    fn unload(&mut self, module: &Module, outcome: &mut Outcome) -> Result<(), SessionError> {
        let name = module.name.clone();
        match self.guest.ask(Request::RemoveModule { name }) {
            Ok(_) => Ok(()),
            Err(SessionError::Agent(AgentError::Failed(why))) => {
                outcome.failures.push(Failure::Unload(why));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn messages(&mut self) -> Result<(Vec<KernelMessage>, u64), SessionError> {
        let answer = self.guest.ask(Request::KernelMessages)?;
        match answer {
            Reply::KernelMessages { messages, left_out } => Ok((messages, left_out)),
            answer => Err(AgentError::Unexpected {
                request: "the kernel's messages".to_owned(),
                answer: format!("{answer:?}"),
            }
            .into()),
        }
    }
}

/// The kernel's messages of a trial.
#[derive(Default)]
struct Messages {
    list: Vec<KernelMessage>,
    left_out: u64,
}

impl Messages {
    fn add(&mut self, (messages, left_out): (Vec<KernelMessage>, u64)) {
        self.list.extend(messages);
        self.left_out += left_out;
    }

    /// The last of the kernel's own, without the remark that a module is not of
    /// its tree.
    fn last(&self, count: usize) -> Vec<String> {
        let own = |message: &&KernelMessage| message.kernel && !message.text.contains("taint");
        let mut last: Vec<String> = self
            .list
            .iter()
            .rev()
            .filter(own)
            .take(count)
            .map(|message| message.text.clone())
            .collect();
        last.reverse();
        last
    }
}

fn with_words(why: &str, words: &[String]) -> String {
    match words {
        [] => why.to_owned(),
        _ => format!("{why}; the kernel says: {}", words.join(" | ")),
    }
}

/// A message as `dmesg` shows it.
fn as_dmesg(message: &KernelMessage) -> String {
    let (seconds, micros) = (message.time_us / 1_000_000, message.time_us % 1_000_000);
    format!("[{seconds:5}.{micros:06}] {}", message.text)
}
