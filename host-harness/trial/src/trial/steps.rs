// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Listens to the program of a scenario, and carries out each step when its line
//! comes.

use device_model::Recorder;
use irqbed_machine::{
    qemu::Port,
    qmp::QmpError,
    served::FaultControl,
    session::{Guest, PlugError, SessionError},
};

use super::{DeviceFault, Failure};
use crate::scenario::{Action, DeviceRequest, Step};

/// Of a line that is longer than this no more is kept, bytes.
const LONGEST: usize = 64 << 10;

/// The steps of a scenario, on their way.
#[derive(Debug, Default)]
pub(super) struct Steps<'a> {
    steps: &'a [Step],
    /// How many were carried out.
    done: usize,
    lines: Lines,
    /// The devices that were ever plugged in and can have faults.
    cards: Vec<Card>,
}

/// A device that was plugged in.
#[derive(Debug)]
struct Card {
    name: String,
    port: Port,
    faults: FaultControl,
    /// What happened at it, where it is one of ours.
    recorder: Option<Recorder>,
    /// How many of them the scenario has armed; what is armed later is not its.
    armed: usize,
}

impl<'a> Steps<'a> {
    pub(super) fn new(steps: &'a [Step]) -> Self {
        Self {
            steps,
            ..Self::default()
        }
    }

    /// Takes what the program says on standard output, and does what is due. The
    /// step that could not be carried out is `Ok` of its failure.
    ///
    /// # Errors
    /// [`SessionError`] when the guest is gone.
    pub(super) fn heard(
        &mut self,
        text: &str,
        guest: &mut Guest,
    ) -> Result<Option<Failure>, SessionError> {
        for line in self.lines.ended_by(text) {
            let due = self.steps.get(self.done);
            let Some(step) = due.filter(|step| step.says == line.trim()) else {
                continue;
            };
            match self.carry_out(step, guest) {
                Ok(()) => self.done += 1,
                Err(error) if refused(&error) => return Ok(Some(self.failed(step, &error))),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Those that were carried out, in words.
    pub(super) fn done(&self) -> impl Iterator<Item = String> {
        self.steps.iter().take(self.done).map(Step::to_string)
    }

    /// The step whose line never came, when the program has ended.
    pub(super) fn unsaid(&self) -> Option<Failure> {
        let step = self.steps.get(self.done)?;
        Some(Failure::Unsaid {
            number: self.done + 1,
            step: step.to_string(),
            says: step.says.clone(),
        })
    }

    /// The faults of the devices, pulled or not, and what each did.
    pub(super) fn faults(&self) -> Vec<DeviceFault> {
        let of = |card: &Card| {
            if card.armed == 0 {
                return Vec::new();
            }
            let faults = DeviceFault::all(&card.name, Some(card.port), card.faults.list());
            faults.into_iter().take(card.armed).collect::<Vec<_>>()
        };
        self.cards.iter().flat_map(of).collect()
    }

    /// What happened at each of the devices, pulled or not.
    pub(super) fn recorders(&self) -> Vec<(String, Recorder)> {
        let named = self.cards.iter().filter_map(|card| {
            let name = format!("{} in port {}", card.name, card.port);
            Some((name, card.recorder.clone()?))
        });
        named.collect()
    }

    fn failed(&self, step: &Step, error: &SessionError) -> Failure {
        Failure::Step {
            number: self.done + 1,
            step: step.to_string(),
            why: error.to_string(),
        }
    }

    fn carry_out(&mut self, step: &Step, guest: &mut Guest) -> Result<(), SessionError> {
        let port = step.port;
        match &step.action {
            Action::Plug(given) => self.plug(port, given, guest),
            Action::Unplug => guest.unplug(port),
            Action::Suspend(sleep) => guest.suspend(sleep.suspend, sleep.wake),
            Action::Arm(faults) => {
                let mut cards = self.cards.iter_mut().rev();
                let card = cards.find(|card| card.port == port);
                // One of ours that was pulled would take them.
                let is_there =
                    |card: &&mut Card| card.recorder.is_none() || guest.plugged(port).is_some();
                let card = card.filter(is_there).ok_or(PlugError::NotOurs(port))?;
                card.faults.arm(faults).map_err(SessionError::Device)?;
                card.armed += faults.len();
                Ok(())
            }
        }
    }

    fn plug(
        &mut self,
        port: Port,
        given: &DeviceRequest,
        guest: &mut Guest,
    ) -> Result<(), SessionError> {
        let mut faults = None;
        guest.plug_served(port, |options| {
            let served = given.serve(options)?;
            faults = served.faults();
            Ok(served)
        })?;
        let server = guest.plugged(port);
        self.cards.extend(faults.map(|faults| Card {
            name: given.device.name(),
            port,
            faults,
            recorder: server.map(|server| server.recorder().clone()),
            armed: given.faults.len(),
        }));
        Ok(())
    }
}

/// What is said in pieces, line by line.
#[derive(Debug, Default)]
struct Lines {
    /// The begin of the next one.
    begun: String,
}

impl Lines {
    /// The lines that end in this piece. Of a very long one the begin is kept.
    fn ended_by(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in text.split_inclusive('\n') {
            if self.begun.len() < LONGEST {
                self.begun += piece;
            }
            if piece.ends_with('\n') {
                lines.push(std::mem::take(&mut self.begun));
            }
        }
        lines
    }
}

/// Whether a step could not be carried out, and the guest goes on.
fn refused(error: &SessionError) -> bool {
    match error {
        SessionError::Plug(_) | SessionError::Device(_) | SessionError::Suspend(_) => true,
        SessionError::Qmp(error) => matches!(error, QmpError::Refused { .. }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_come_in_pieces_and_several_in_one() {
        let mut lines = Lines::default();
        assert_eq!(lines.ended_by("re"), [""; 0]);
        assert_eq!(lines.ended_by("ady\none\ntw"), ["ready\n", "one\n"]);
        assert_eq!(lines.ended_by("o\n"), ["two\n"]);
        assert_eq!(lines.ended_by("\n"), ["\n"]);
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let mut lines = Lines::default();
        let long = "x".repeat(LONGEST);
        for _ in 0..10 {
            assert_eq!(lines.ended_by(&long), [""; 0]);
        }
        assert_eq!(lines.begun.len(), LONGEST);
        assert_eq!(lines.ended_by("\nnext\n").last().expect("one"), "next\n");
    }
}
