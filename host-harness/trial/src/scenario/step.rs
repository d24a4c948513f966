// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is done to a guest and to its ports while its program runs. The program asks
//! for it by a line that it says, so that a test waits for nothing by the clock.

use std::fmt;

use device_model::Fault;
use irqbed_machine::qemu::Port;

use super::{DeviceRequest, ScenarioError, Sleep};

/// Most ports of a machine.
pub const MAX_PORTS: u32 = 14;

/// What is done when the program says a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The line, on standard output, without white space around it.
    pub says: String,
    /// At which port, if it is done at one.
    pub port: Port,
    /// What.
    pub action: Action,
}

/// What is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// A device is plugged in.
    Plug(DeviceRequest),
    /// The guest is asked to let go of the device, which is pulled then.
    Unplug,
    /// Something goes wrong with the device from now on, which is one of ours.
    Arm(Vec<Fault>),
    /// The guest is suspended, and resumes.
    Suspend(Sleep),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match &self.action {
            Action::Plug(given) => write!(f, "plug {} into port {port}", given.device.title()),
            Action::Unplug => write!(f, "unplug port {port}"),
            Action::Arm(faults) => {
                let faults = faults.iter().map(Fault::to_string);
                let faults = faults.collect::<Vec<_>>().join(" ");
                write!(f, "arm {faults} at port {port}")
            }
            Action::Suspend(sleep) => sleep.fmt(f),
        }
    }
}

impl Step {
    /// How the guest is suspended, if it is.
    pub(super) fn sleep(&self) -> Option<Sleep> {
        match self.action {
            Action::Suspend(sleep) => Some(sleep),
            _ => None,
        }
    }

    /// Makes sure that it can be done on a machine with so many ports, as far as
    /// that is known before.
    pub(super) fn check(&self, ports: u32) -> Result<(), ScenarioError> {
        let wrong = |why| ScenarioError::Step {
            step: self.to_string(),
            why,
        };
        if self.says.is_empty() || self.says.contains('\n') {
            return Err(wrong("says: give one line of the program's".to_owned()));
        }
        if let Some(sleep) = self.sleep() {
            return sleep.check().map_err(wrong);
        }
        if self.port.0 >= ports {
            let has = Port::listed(ports);
            return Err(wrong(format!("{has}: give `ports`, {MAX_PORTS} at most")));
        }
        match &self.action {
            Action::Plug(given) => given.check_for_port(),
            Action::Unplug | Action::Arm(_) | Action::Suspend(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use irqbed_machine::builtin::Builtin;

    use super::*;
    use crate::scenario::Device;

    fn step(says: &str, action: Action) -> Step {
        Step {
            says: says.to_owned(),
            port: Port(1),
            action,
        }
    }

    #[test]
    fn a_step_is_told_in_words() {
        let device = |device: Device| step("x", Action::Plug(device.into())).to_string();
        assert_eq!(
            device(Device::Builtin(Builtin::NicLite)),
            "plug nic-lite into port 1"
        );
        assert_eq!(
            device(Device::Socket("/run/card".into())),
            "plug the device at /run/card into port 1"
        );
        assert_eq!(step("x", Action::Unplug).to_string(), "unplug port 1");
        let removed = "removed".parse().expect("a fault");
        let armed = step("x", Action::Arm(vec![removed]));
        assert_eq!(armed.to_string(), "arm removed at port 1");
    }

    #[test]
    fn a_port_that_is_not_there_and_a_line_that_is_none_are_refused() {
        let why = |says, ports| {
            let refused = step(says, Action::Unplug).check(ports);
            refused.expect_err("refused").to_string()
        };
        assert!(why("x", 0).contains("unplug port 1: the machine has no ports"));
        assert!(why("x", 1).contains("port 0 alone"));
        assert!(why("", 2).contains("one line"));
        assert!(why("a\nb", 2).contains("one line"));
        step("x", Action::Unplug).check(2).expect("it can be");
    }
}
