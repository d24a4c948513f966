// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory that a driver forgets to free, as kmemleak finds it in a kernel that has
//! it.

use std::{ops::ControlFlow, time::Duration};

use irqbed_abi::control::{Ending, KernelMessage, Stream};
use irqbed_machine::{
    artefacts::DEBUG_KERNEL,
    session::{Guest, SessionError},
};

use super::Trial;

/// How long kmemleak may take to look at all memory.
const SCAN_LIMIT: Duration = Duration::from_secs(180);

/// What the guest's kernel looks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checkers {
    /// Locks, by lockdep, and what is done in contexts where it may not be.
    locks: bool,
    /// Accesses to memory, by KASAN.
    memory: bool,
    /// Memory that nobody frees, by kmemleak.
    pub leaks: bool,
}

impl Checkers {
    /// What was not looked for, and how to have it looked for.
    pub(super) fn missing(self) -> Option<String> {
        let kinds = [
            (self.locks, "locks"),
            (self.locks, "contexts"),
            (self.memory, "memory"),
            (self.leaks, "leaks"),
        ];
        let missing = kinds.iter().filter(|(looks, _)| !looks);
        let missing: Vec<&str> = missing.map(|(_, kind)| *kind).collect();
        (!missing.is_empty()).then(|| {
            let missing = missing.join(", ");
            format!("this kernel did not look for: {missing} (`--kernel {DEBUG_KERNEL}` does)")
        })
    }
}

impl Trial {
    /// What the kernel looks for, by what it said at its boot. Has kmemleak forget what it knows.
    pub(super) fn checkers(&mut self, boot: &[KernelMessage]) -> Result<Checkers, SessionError> {
        let said = |text| boot.iter().any(|message| message.text.contains(text));
        Ok(Checkers {
            locks: said("Lock dependency validator"),
            memory: said("KernelAddressSanitizer initialized"),
            leaks: self.begin_to_look_for_leaks()?,
        })
    }

    /// Has kmemleak forget what it knows; false where the kernel has none.
    fn begin_to_look_for_leaks(&mut self) -> Result<bool, SessionError> {
        const SCRIPT: &str = "mount -t debugfs none /sys/kernel/debug;
            test -e /sys/kernel/debug/kmemleak || exit 1;
            echo scan >/sys/kernel/debug/kmemleak && echo clear >/sys/kernel/debug/kmemleak";
        let (ending, _, _) = self.shell(SCRIPT)?;
        Ok(ending == Ending::Exited { status: 0 })
    }

    /// What kmemleak has found since the last look. It reports nothing that is
    /// younger than five seconds.
    pub(super) fn leaks(&mut self) -> Result<Option<Vec<String>>, SessionError> {
        const SCRIPT: &str = "cd /sys/kernel/debug; sleep 6;
            echo scan >kmemleak && echo scan >kmemleak && cat kmemleak && echo clear >kmemleak";
        let (ending, found, error) = self.shell(SCRIPT)?;
        let lines: Vec<String> = found.lines().map(str::to_owned).collect();
        Ok(match ending {
            Ending::Exited { status: 0 } => Some(lines).filter(|lines| !lines.is_empty()),
            _ => Some(vec![format!("kmemleak does not answer: {}", error.trim())]),
        })
    }

    /// Runs a script of ours: its end, standard output, standard error.
    fn shell(&mut self, script: &str) -> Result<(Ending, String, String), SessionError> {
        let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let mut said = |_: &mut Guest, stream, text: &str| {
            match stream {
                Stream::Stdout => stdout.push_str(text),
                Stream::Stderr => stderr.push_str(text),
            }
            Ok(ControlFlow::Continue(()))
        };
        let ending = self.watch(argv, "/", SCAN_LIMIT, &mut said, &mut |_| {})?;
        Ok((ending, stdout, stderr))
    }
}
