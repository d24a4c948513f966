// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A trial from its first module to its verdict: whether driver, program and devices
//! did well.

use std::time::Instant;

use device_model::Recorder;
use irqbed_abi::control::{Ending, Inspection, KernelMessage, Reply, Request};
use irqbed_machine::{
    agent::AgentError,
    kernel_report::{Finding, failed_probes, findings},
    session::{SessionError, unexpected},
    span::span,
};

use super::{
    Company, Evidence, Failure, Outcome, Trial, checks, evidence, kernel_log::KernelLog,
    source_lines::Symbols, steps::Steps,
};
use crate::scenario::{Module, Scenario};

/// Lines of the kernel's that explain why a module does not load.
const SHOWN: usize = 5;
/// Lines of the console that are shown of a guest that died and whose kernel reports nothing.
const LAST_WORDS: usize = 60;
/// Lines of the kernel's log that are shown with a failure.
const KERNEL_LINES: usize = 12;

/// What a trial gathers on its way.
#[derive(Debug, Default)]
struct Course {
    log: KernelLog,
    /// Lines of the console before the first module.
    console: usize,
    /// Interrupts and devices before the first module.
    before: Inspection,
    /// The same at the end of the program.
    after: Inspection,
    /// The accesses to the devices until then.
    accesses: Vec<Evidence>,
    /// Nobody answers any more.
    hangs: bool,
}

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
        let mut steps = Steps::new(&scenario.description.steps);
        let mut course = Course::default();
        let went = self.go(scenario, company, &mut steps, &mut outcome, &mut course);
        if let Err(error @ SessionError::Interrupted(_)) = went {
            return Err(error);
        }
        if course.accesses.is_empty() {
            course.accesses = self.accesses(&steps);
        }
        if let Err(SessionError::Device(_)) = went {
            // The guest goes on, and has something to say of it.
            let messages = self.messages();
            course.log.add(messages.unwrap_or_default());
        }
        outcome.faults = self.faults();
        outcome.faults.extend(steps.faults());
        let mut recorders = self.devices.recorders();
        recorders.extend(steps.recorders());
        let console = self.guest.console_since(course.console);
        // Neither powers off: the kernel waits for what the driver holds.
        let stuck = matches!(outcome.ending, Some(Ending::Stuck { .. }));
        let ended = went.and_then(|()| match course.hangs || stuck {
            true => Ok(()),
            false => self.end(),
        });
        if let Err(error @ SessionError::Interrupted(_)) = ended {
            return Err(error);
        }
        outcome.duration = self.started.elapsed();
        if let Some((coverage, notes)) = self.take_coverage()? {
            outcome.coverage = coverage;
            outcome.notes.extend(notes);
        }
        let died = match ended {
            Ok(()) => None,
            Err(SessionError::Device(why)) => {
                outcome.failures.push(Failure::Device(why));
                None
            }
            Err(error) => Some(error.to_string()),
        };
        if died.is_some() {
            course.log.add_console(&console);
        }
        self.conclude(scenario, &course, died, &recorders, &mut outcome);
        Ok(outcome)
    }

    /// Adds all that is wrong to an outcome, the causes first.
    fn conclude(
        &self,
        scenario: &Scenario,
        course: &Course,
        died: Option<String>,
        recorders: &[(String, Recorder)],
        outcome: &mut Outcome,
    ) {
        let log = &course.log;
        let mut found = findings(&log.messages, &scenario.description.allowed);
        explain_load(&mut found, &mut outcome.failures);
        if let Some(message) = died {
            let is_panic = |finding: &Finding| finding.line.contains("Kernel panic");
            let panic = found.iter().rposition(is_panic);
            let panic = panic.map(|index| found.remove(index).report);
            // The kernel's other reports are shown by themselves, and are the cause.
            let console = match found.is_empty() {
                true => self.guest.console(LAST_WORDS),
                false => panic.unwrap_or_default(),
            };
            outcome.failures.push(Failure::Guest { message, console });
        }
        outcome
            .failures
            .extend(found.into_iter().map(Failure::Kernel));
        if log.left_out > 0 {
            outcome.failures.push(Failure::Guest {
                message: format!(
                    "the kernel said too much: {} of its messages were not read",
                    log.left_out
                ),
                console: Vec::new(),
            });
        }
        if scenario.description.bind {
            let failed = failed_probes(&log.messages, &scenario.description.allowed);
            let unbound = checks::unbound(scenario, &course.after, &failed);
            outcome
                .failures
                .extend(unbound.into_iter().map(Failure::Unbound));
            outcome
                .failures
                .extend(failed.into_iter().map(Failure::Probe));
        }
        let unhandled = checks::unhandled(&course.before, &course.after);
        checks::add_warnings(scenario, recorders, unhandled, outcome);
        if self.emulates_several {
            checks::doubt_breakpoints(outcome);
        }
        outcome.failures.sort_by_key(Failure::rank);
        outcome.kernel_log = log.lines();
        if !outcome.passed() {
            explain(scenario, course, outcome);
        }
    }

    fn go(
        &mut self,
        scenario: &Scenario,
        company: &mut Company<'_>,
        steps: &mut Steps<'_>,
        outcome: &mut Outcome,
        course: &mut Course,
    ) -> Result<(), SessionError> {
        // What the boot said is not the driver's.
        let boot = self.messages()?;
        let checkers = self.checkers(&boot.0)?;
        course.console = self.guest.console_count();
        course.before = self.inspect()?;
        let mut loaded = Vec::new();
        for module in &scenario.modules {
            match self.load(module) {
                Ok(()) => loaded.push(module),
                Err(SessionError::Agent(AgentError::Failed(why))) => {
                    course.log.add(self.messages()?);
                    // A report of the kernel's says more, and is a failure of its own.
                    let reported = !findings(&course.log.messages, &[]).is_empty();
                    let words = course.log.last(if reported { 0 } else { SHOWN });
                    outcome.failures.push(Failure::Load {
                        why: with_words(&why, &words),
                        report: Vec::new(),
                    });
                    break;
                }
                Err(SessionError::Hangs { limit, .. }) => {
                    let file = module.path.rsplit('/').next().unwrap_or_default();
                    let why = format!(
                        "{file} does not load: its start does not come back, and since {} \
                         nothing else runs in the guest",
                        span(limit)
                    );
                    let report = Vec::new();
                    outcome.failures.push(Failure::Load { why, report });
                    let console = self.guest.console_since(course.console);
                    course.log.add_console(&console);
                    course.hangs = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(sleep) = scenario.description.sleep.filter(|_| outcome.passed()) {
            match self.guest.suspend(sleep.suspend, sleep.wake) {
                Ok(()) => {}
                Err(SessionError::Suspend(why)) => outcome.failures.push(Failure::Suspend {
                    sleep: sleep.to_string(),
                    why: why.to_string(),
                }),
                Err(error) => return Err(error),
            }
        }
        if outcome.passed() && !scenario.argv.is_empty() {
            course.log.add(self.messages()?);
            course.log.program_begins();
            self.run_program(scenario, company, steps, outcome)?;
        }
        course.after = self.inspect()?;
        // Those of the driver's end would take their place.
        course.accesses = self.accesses(steps);
        if matches!(outcome.ending, Some(Ending::Stuck { .. })) {
            outcome
                .notes
                .push("the modules were not unloaded: the program is still in them".to_owned());
        } else {
            // While the modules are there their functions have names; what they
            // forget to free at their end shows after it.
            if checkers.leaks {
                outcome.failures.extend(self.leaks()?.map(Failure::Leak));
            }
            if let Some(covered) = &mut self.covered {
                covered.locate(&mut self.guest)?;
            }
            for module in loaded.iter().rev() {
                self.unload(module, outcome)?;
            }
            if checkers.leaks {
                outcome.failures.extend(self.leaks()?.map(Failure::Leak));
            }
        }
        outcome.notes.extend(checkers.missing());
        course.log.add(self.messages()?);
        self.devices.check(&mut self.guest)
    }

    /// Ends the guest in good order, and sees whether each device bears that.
    fn end(&mut self) -> Result<(), SessionError> {
        self.guest.end()?;
        self.devices.check_after_end()
    }

    fn accesses(&self, steps: &Steps<'_>) -> Vec<Evidence> {
        let now = Instant::now();
        let recorders = self
            .devices
            .recorders()
            .into_iter()
            .chain(steps.recorders());
        let of =
            |(device, recorder): (String, Recorder)| evidence::accesses(&device, &recorder, now);
        recorders.filter_map(of).collect()
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
            answer => Err(unexpected("the kernel's messages".to_owned(), &answer)),
        }
    }
}

/// A module that spins at its start makes the kernel report a lockup: that is no failure of
/// its own, but says where.
fn explain_load(found: &mut Vec<Finding>, failures: &mut [Failure]) {
    let loads = failures.iter_mut().find_map(|failure| match failure {
        Failure::Load { why, report } => Some((why, report)),
        _ => None,
    });
    let is_lockup = |finding: &Finding| {
        let line = &finding.line;
        line.contains("soft lockup") || line.contains("detected stall")
    };
    let lockup = found.iter().position(is_lockup);
    if let (Some((why, report)), Some(lockup)) = (loads, lockup) {
        *report = found.remove(lockup).report;
        // They are of the same one.
        found.retain(|finding| !is_lockup(finding));
        if let Some((name, _)) = why.split_once(" does not load: ") {
            *why = format!("{name} does not load: it spins");
        }
    }
}

/// Says where in the sources each failure happened, and adds what a person wants to see
/// beside them.
fn explain(scenario: &Scenario, course: &Course, outcome: &mut Outcome) {
    let mut symbols = Symbols::default();
    for module in &scenario.modules {
        symbols.add(&module.name, scenario.image(module), &module.folder);
    }
    let mut shown: Vec<String> = Vec::new();
    for failure in &mut outcome.failures {
        if let Failure::Kernel(finding) | Failure::Probe(finding) = &*failure {
            shown.extend(finding.report.iter().cloned());
        }
        shown.extend(failure.details().iter().cloned());
        let place = symbols.place(failure.details());
        for text in failure.texts_mut() {
            *text = symbols.annotate(text);
        }
        match (failure, place) {
            (Failure::Kernel(Finding { line, .. }), Some(place))
                if symbols.place_in(line).is_none() =>
            {
                *line = format!("{line}, in {place}");
            }
            (Failure::Load { why, .. }, Some(place)) => *why = format!("{why} in {place}"),
            _ => {}
        }
    }
    // What the kernel says of each module that is not of its tree, and at each death.
    let is_known = |line: &String| line.contains("taint") || line.contains("Kernel Offset");
    let is_shown = |line: &String| shown.iter().any(|known| line.ends_with(known.as_str()));
    let is_new = |line: &String| !is_known(line) && !is_shown(line);
    let lines = course.log.since_program().filter(is_new);
    let lines: Vec<String> = lines.map(|line| symbols.annotate(&line)).collect();
    let more = lines.len().saturating_sub(KERNEL_LINES);
    let lines: Vec<String> = lines.into_iter().skip(more).collect();
    if !lines.is_empty() {
        outcome.evidence.push(Evidence {
            title: "the kernel's last lines".to_owned(),
            lines,
        });
    }
    outcome.evidence.extend(course.accesses.iter().cloned());
}

fn with_words(why: &str, words: &[String]) -> String {
    match words {
        [] => why.to_owned(),
        _ => format!("{why}; the kernel says: {}", words.join(" | ")),
    }
}
