// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A booted guest, whatever devices it has: QEMU, and the agent that answers in
//! it. What is special about the event device and its driver is [`Session`]'s.
//!
//! [`Session`]: super::Session

use std::{
    collections::VecDeque,
    fmt::Debug,
    io,
    process::ExitStatus,
    time::{Duration, Instant},
};

use irqbed_abi::control::{Accesses, Hello, Reply, Request};

use super::{SessionError, boot_wait, device_works, hotplug::Ports};
use crate::{
    agent::{AgentError, AgentLine},
    artefacts::Artefacts,
    console::Console,
    interrupt, kernel_report,
    qemu::{Connections, Machine, Qemu},
};

/// An agent that has not answered by then hangs; its own limits are shorter.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long QEMU may take from the agent's last word to its end.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks at what else there is while the agent is waited for.
const SLICE: Duration = Duration::from_millis(100);
/// How far those who read what QEMU says may be behind its end.
const BEHIND: Duration = Duration::from_millis(50);
/// What QEMU says where a device model has hung up.
const HUNG_UP: &str = "failed to read header";
/// What it says where it could not be connected to one.
const NOT_CONNECTED: &str = r#"-device {"driver":"vfio-user-pci","#;
/// What it dies of where one hangs up before it has answered the first request: two errors in
/// one place (QEMU 11.1).
const HUNG_UP_AT_FIRST: &str = "error_setv: Assertion";
/// Characters of a request that are shown with an error.
const LONGEST: usize = 100;
/// Console lines shown with an error.
const SHOWN: usize = 15;
/// The same, where a report of the kernel's is among them.
const REPORT: usize = 80;

/// A booted guest. Dropping it ends it.
#[derive(Debug)]
pub struct Guest {
    pub(super) qemu: Qemu,
    agent: AgentLine,
    hello: Hello,
    boot_time: Duration,
    /// Answers that came while another one was waited for.
    pub(super) unheard: VecDeque<Reply>,
    // QEMU goes before the devices it is connected to.
    pub(super) ports: Ports,
}

impl Guest {
    /// Boots a guest and waits for its agent.
    ///
    /// # Errors
    /// [`SessionError`]; nothing is left running.
    pub fn boot(
        artefacts: &Artefacts,
        machine: &Machine,
        connections: Connections<'_>,
    ) -> Result<Self, SessionError> {
        interrupt::check()?;
        let resumable;
        let mut artefacts = artefacts;
        if machine.suspends_to_ram {
            resumable = artefacts.clone().that_resumes()?;
            artefacts = &resumable;
        }
        artefacts.check()?;
        if connections.need_plugin() {
            artefacts.check_plugin()?;
        }
        let limit = boot_wait::limit()?;
        let started = Instant::now();
        let (mut qemu, control) = Qemu::start(machine, artefacts, connections)?;
        let mut agent = AgentLine::new(control)?;
        let hello = agent
            .hello(limit, || {
                alive(&mut qemu)?;
                // The guest would hang over a device that is gone, and be blamed for it.
                match missing_device(&qemu.messages) {
                    Some(why) => Err(SessionError::Device(why)),
                    None => Ok(()),
                }
            })
            .map_err(|error| in_words(error, boot_wait::WAIT, &mut qemu))
            .map_err(|error| boot_wait::in_words(error, &artefacts.qemu))?;
        let boot_time = started.elapsed();
        let ports = Ports::new(qemu.qmp.take(), machine)?;
        tracing::info!(?boot_time, kernel = hello.kernel, "guest is up");
        Ok(Self {
            qemu,
            agent,
            hello,
            boot_time,
            unheard: VecDeque::new(),
            ports,
        })
    }

    /// What the agent said of the guest.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// From the start of QEMU to the agent's hello.
    #[must_use]
    pub fn boot_time(&self) -> Duration {
        self.boot_time
    }

    /// Process id of QEMU.
    #[must_use]
    pub fn qemu_id(&self) -> u32 {
        self.qemu.id()
    }

    /// What QEMU says of a device model that has hung up, if one has.
    pub fn misses_a_device(&self) -> Option<String> {
        missing_device(&self.qemu.messages)
    }

    /// Whether QEMU has ended, and not for a device that it lost.
    pub fn has_ended_by_itself(&mut self) -> io::Result<bool> {
        if self.qemu.ended()?.is_none() {
            return Ok(false);
        }
        std::thread::sleep(BEHIND);
        Ok(!ends_over_a_device(&self.qemu.messages.tail(SHOWN)))
    }

    /// The console's last lines, oldest first; none where it is a terminal.
    #[must_use]
    pub fn console(&self, lines: usize) -> Vec<String> {
        self.qemu.console.tail(lines)
    }

    /// How many lines the console has had so far.
    #[must_use]
    pub fn console_count(&self) -> usize {
        self.qemu.console.count()
    }

    /// The console's lines behind the first `count`, oldest first.
    #[must_use]
    pub fn console_since(&self, count: usize) -> Vec<String> {
        self.qemu.console.since(count)
    }

    /// `Err` when the guest is gone, a device in a port has failed, or the user
    /// wants to stop.
    ///
    /// # Errors
    /// [`SessionError`] that says why.
    pub fn alive(&mut self) -> Result<(), SessionError> {
        alive(&mut self.qemu)?;
        self.ports.servers().try_for_each(device_works)
    }

    /// Asks the agent.
    ///
    /// # Errors
    /// [`SessionError::Agent`] with its words when it refuses.
    pub fn ask(&mut self, request: Request) -> Result<Reply, SessionError> {
        self.send(&request)?;
        self.answer(&request)
    }

    /// Asks the agent, and does not wait.
    ///
    /// # Errors
    /// [`SessionError`] when the line is broken.
    pub fn send(&mut self, request: &Request) -> Result<(), SessionError> {
        Ok(self.agent.send(request)?)
    }

    /// The answer to what was [sent](Guest::send).
    ///
    /// # Errors
    /// [`SessionError::Hangs`] where it does not come, and [`Guest::ask`]'s.
    pub fn answer(&mut self, request: &Request) -> Result<Reply, SessionError> {
        self.answer_watching(ANSWER_LIMIT, &shortened(request), |_| Ok(()))
    }

    /// Waits for an answer within a limit. `check` is asked every now and then, and
    /// ends the wait by its error.
    pub fn answer_watching(
        &mut self,
        limit: Duration,
        waiting_for: &str,
        check: impl FnMut(&mut Self) -> Result<(), SessionError>,
    ) -> Result<Reply, SessionError> {
        match self.unheard.pop_front() {
            Some(answer) => Ok(answer),
            None => self.new_answer(limit, waiting_for, check),
        }
    }

    /// A byte that means nothing: its interrupt ends suspend to idle.
    pub(super) fn wake_by_line(&mut self) -> Result<(), SessionError> {
        Ok(self.agent.wake()?)
    }

    /// [`Guest::answer_watching`], of what has not come yet.
    pub(super) fn new_answer(
        &mut self,
        limit: Duration,
        waiting_for: &str,
        mut check: impl FnMut(&mut Self) -> Result<(), SessionError>,
    ) -> Result<Reply, SessionError> {
        let deadline = Instant::now() + limit;
        loop {
            check(self)?;
            let left = deadline.saturating_duration_since(Instant::now());
            let Self { agent, qemu, .. } = self;
            match agent.reply(left.min(SLICE), || alive(qemu)) {
                Err(SessionError::Agent(AgentError::Silent(_))) if left > SLICE => {}
                Err(SessionError::Agent(AgentError::Silent(_))) => {
                    let silent = AgentError::Silent(limit).into();
                    return Err(in_words(silent, waiting_for, qemu));
                }
                answer => return answer.map_err(|error| in_words(error, waiting_for, qemu)),
            }
        }
    }

    /// Asks the agent for one kind of answer.
    pub(super) fn ask_for<T>(
        &mut self,
        request: Request,
        pick: impl FnOnce(Reply) -> Result<T, Reply>,
    ) -> Result<T, SessionError> {
        let asked = shortened(&request);
        pick(self.ask(request)?).map_err(|answer| unexpected(asked, &answer))
    }

    pub(super) fn expect_done(&mut self, request: Request) -> Result<(), SessionError> {
        self.ask_for(request, |answer| match answer {
            Reply::Done => Ok(()),
            answer => Err(answer),
        })
    }

    /// Times accesses of a process in the guest: of each batch, cycles of the
    /// guest's time stamp counter.
    ///
    /// # Errors
    /// [`SessionError::Agent`] when there is no such word, or a driver has the
    /// device.
    pub fn time_accesses(&mut self, accesses: Accesses) -> Result<Vec<u64>, SessionError> {
        self.ask_for(Request::TimeAccesses(accesses), |answer| match answer {
            Reply::Accessed { cycles } => Ok(cycles),
            answer => Err(answer),
        })
    }

    /// Runs a program in the guest: exit status, standard output, standard error.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn run(&mut self, argv: &[&str]) -> Result<(i32, String, String), SessionError> {
        let request = Request::Run {
            argv: argv.iter().map(ToString::to_string).collect(),
        };
        self.ask_for(request, |answer| match answer {
            Reply::Ran {
                status,
                stdout,
                stderr,
            } => Ok((status, stdout, stderr)),
            answer => Err(answer),
        })
    }

    /// Waits until the guest ends by itself. `attend` is called every now and then
    /// and ends the wait by its error.
    ///
    /// # Errors
    /// [`SessionError`] when it cannot be waited for, or what `attend` said.
    pub fn wait_attending(
        &mut self,
        mut attend: impl FnMut(&mut Self) -> Result<(), SessionError>,
    ) -> Result<ExitStatus, SessionError> {
        loop {
            if let Some(status) = self.qemu.wait(Duration::from_millis(50))? {
                return Ok(status);
            }
            interrupt::check()?;
            attend(self)?;
        }
    }

    /// Ends the guest in good order.
    ///
    /// # Errors
    /// [`SessionError`] when it does not go.
    pub fn power_off(mut self) -> Result<(), SessionError> {
        self.end()
    }

    /// The same, for those who ask it something yet.
    pub fn end(&mut self) -> Result<(), SessionError> {
        self.send(&Request::PowerOff)?;
        match self.qemu.wait(POWER_OFF_LIMIT)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(ended(status, &mut self.qemu)),
            None => Err(SessionError::Hangs {
                waiting_for: "power off".to_owned(),
                limit: POWER_OFF_LIMIT,
                console: self.qemu.console.tail(SHOWN),
            }),
        }
    }
}

/// What QEMU says of a device model that has hung up, if one has.
fn missing_device(messages: &Console) -> Option<String> {
    let line = messages.find(HUNG_UP)?;
    Some(format!(
        "its device model has closed the connection (QEMU says: {line})"
    ))
}

/// Whether it is for a device that QEMU, with these last messages, ended.
pub fn ends_over_a_device(messages: &[String]) -> bool {
    let words = [HUNG_UP, NOT_CONNECTED, HUNG_UP_AT_FIRST];
    let is_of_device = |line: &String| words.iter().any(|word| line.contains(word));
    messages.iter().any(is_of_device)
}

/// What is shown of the console of a guest that died: from the first report of the kernel's
/// on, which is the cause of the others, or else the last lines.
fn last_words(console: &Console) -> Vec<String> {
    let lines = console.since(0);
    let last = lines.len().saturating_sub(SHOWN);
    match kernel_report::first(&lines) {
        Some(first) => lines
            .into_iter()
            .skip(first.min(last))
            .take(REPORT)
            .collect(),
        None => console.tail(SHOWN),
    }
}

/// A request or an answer in a message: some have thousands of numbers.
fn shortened(of: &impl Debug) -> String {
    let mut text = format!("{of:?}");
    if let Some((at, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(at);
        text.push_str("...");
    }
    text
}

/// An answer that is none to this request.
#[must_use]
pub fn unexpected(request: String, answer: &Reply) -> SessionError {
    let answer = shortened(answer);
    AgentError::Unexpected { request, answer }.into()
}

fn alive(qemu: &mut Qemu) -> Result<(), SessionError> {
    interrupt::check()?;
    match qemu.ended()? {
        Some(status) => Err(ended(status, qemu)),
        None => Ok(()),
    }
}

pub(super) fn ended(status: ExitStatus, qemu: &mut Qemu) -> SessionError {
    std::thread::sleep(BEHIND);
    let console = last_words(&qemu.console);
    for sign in ["irqbed-agent: fatal", "Kernel panic"] {
        if let Some(line) = qemu.console.find(sign) {
            // Without the time, which says nothing to who reads of it.
            let start = line.find(sign).unwrap_or_default();
            let line = line.get(start..).unwrap_or_default().to_owned();
            return SessionError::Panicked { line, console };
        }
    }
    SessionError::QemuEnded {
        status,
        messages: qemu.messages.tail(3),
        console,
    }
}

/// Puts what only the session knows into an error of the control line.
fn in_words(error: SessionError, waiting_for: &str, qemu: &mut Qemu) -> SessionError {
    match error {
        SessionError::Agent(AgentError::Silent(limit)) => SessionError::Hangs {
            waiting_for: waiting_for.to_owned(),
            limit,
            console: last_words(&qemu.console),
        },
        SessionError::Agent(AgentError::Closed) => match qemu.wait(Duration::from_secs(2)) {
            Ok(Some(status)) => ended(status, qemu),
            _ => error,
        },
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_thousands_of_numbers_is_named_in_a_line() {
        let request = Request::Symbols {
            addresses: vec![u64::MAX; 1000],
        };
        let text = shortened(&request);
        assert!(text.starts_with("Symbols") && text.len() < 110, "{text}");
        assert_eq!(shortened(&Request::PowerOff), "PowerOff");
    }
}
