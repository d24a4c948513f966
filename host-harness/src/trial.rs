// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs a [`Scenario`]: boots its guest, loads its modules, runs its program,
//! unloads the modules again, and says whether driver, program and devices did
//! well.

mod fault;
mod findings;
mod junit;
mod outcome;
mod output;

use std::{
    os::fd::OwnedFd,
    process::ExitStatus,
    time::{Duration, Instant},
};

use device_model::{ServerEnd, ServerHandle, control::Target, event::EventSource};
use irqbed_abi::control::{Ending, KernelMessage, Reply, Request, Stream};

pub use fault::DeviceFault;
pub use findings::{Finding, findings};
pub use junit::{Case, junit};
pub use outcome::{Failure, Outcome};
pub use output::Output;

use crate::{
    accel::Accelerator,
    agent::AgentError,
    initramfs,
    qemu::{ClockKind, Connections, ConsoleTo, Machine},
    scenario::{Builtin, DeviceProcess, FOLDER, Module, Scenario},
    session::{Guest, SessionError},
};

/// Where the guest's own limits are, it has this long beyond them to say so.
const GRACE: Duration = Duration::from_secs(30);
/// How long kmemleak may take to look at all memory.
const SCAN_LIMIT: Duration = Duration::from_secs(180);
/// Lines of the kernel's that explain why a module does not load.
const SHOWN: usize = 5;
/// Lines of the console that are shown of a guest that died.
const LAST_WORDS: usize = 60;
/// What QEMU says when a device model has closed its connection.
const LEFT: &str = "failed to read header";
/// The kernel's own limits, and its log on the console: what it says last is
/// all there is of a guest that died. They come behind our `nowatchdog` and
/// `quiet` (Documentation/admin-guide/kernel-parameters.txt, `sysctl.*=`).
const WATCHFUL: [&str; 3] = [
    "sysctl.kernel.watchdog=1",
    "sysctl.kernel.hung_task_timeout_secs=10",
    "sysctl.kernel.printk=7",
];

/// A guest with the devices, modules and files of a scenario.
#[derive(Debug)]
pub struct Trial {
    // QEMU goes before the devices it is connected to.
    guest: Guest,
    servers: Vec<(Builtin, ServerHandle)>,
    _processes: Vec<DeviceProcess>,
    source: Option<EventSource>,
    target: Option<Target>,
    started: Instant,
}

impl Trial {
    /// Boots the guest. Its modules are not loaded yet.
    ///
    /// # Errors
    /// [`SessionError`]; nothing is left running.
    pub fn boot(
        scenario: &Scenario,
        accelerator: Accelerator,
        ports: u32,
        console: ConsoleTo,
    ) -> Result<Self, SessionError> {
        let started = Instant::now();
        let (mut servers, mut processes) = (Vec::new(), Vec::new());
        let (mut source, mut target) = (None, None);
        let mut devices: Vec<OwnedFd> = Vec::new();
        let own = match console {
            ConsoleTo::Kept => WATCHFUL.map(str::to_owned).to_vec(),
            // The harness, and nobody else, says what happens in the guest.
            ConsoleTo::Terminal => vec!["irqbed.mode=control".to_owned()],
        };
        let machine = Machine {
            accelerator,
            clock: ClockKind::Wall,
            vcpus: scenario.vcpus,
            memory_mib: scenario.memory_mib,
            iommu: false,
            ports,
            kernel_parameters: [own, scenario.kernel_parameters.clone()].concat(),
            poll: scenario.poll,
        };
        for device in &scenario.devices {
            let served = device.serve(machine.options())?;
            target = target.or(served.target());
            servers.extend(device.builtin().zip(served.server));
            processes.extend(served.process);
            source = source.or(served.source);
            devices.push(served.handle);
        }
        let connections = Connections {
            console,
            devices,
            initramfs: Some(initramfs::with_files(&scenario.initramfs, &scenario.files)?),
            ..Connections::default()
        };
        Ok(Self {
            guest: Guest::boot(&scenario.artefacts, &machine, connections)?,
            servers,
            _processes: processes,
            target: source.clone().map(Target::Event).or(target),
            source,
            started,
        })
    }

    /// What raises events on the event device, where the guest has one.
    #[must_use]
    pub fn source(&self) -> Option<&EventSource> {
        self.source.as_ref()
    }

    /// What a control socket asks: the event device, else the first one of ours.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// The faults that are armed, and what each did.
    #[must_use]
    pub fn faults(&self) -> Vec<DeviceFault> {
        let servers = self.servers.iter();
        servers
            .flat_map(|(device, server)| DeviceFault::all(*device, server.faults()))
            .collect()
    }

    /// The guest.
    pub fn guest(&mut self) -> &mut Guest {
        &mut self.guest
    }

    /// Loads a module.
    ///
    /// # Errors
    /// [`AgentError::Failed`] with the kernel's words when it does not load.
    pub fn load(&mut self, module: &Module) -> Result<(), SessionError> {
        let request = Request::InsertModule {
            path: module.path.clone(),
            parameters: module.parameters.clone(),
        };
        self.guest.ask(request).map(drop)
    }

    /// Loads the modules, gives the person at the terminal a shell, and waits for
    /// the end of the guest. What fails is said there: a person whose driver does
    /// not load needs the shell most. `attend` is called every now and then.
    ///
    /// # Errors
    /// [`SessionError`] when the guest does not end well.
    pub fn visit(
        &mut self,
        scenario: &Scenario,
        attend: &mut dyn FnMut(&mut Guest),
    ) -> Result<ExitStatus, SessionError> {
        let mut words = String::from("\n");
        for module in &scenario.modules {
            let name = &module.name;
            match self.load(module) {
                Ok(()) => words += &format!("irqbed: {name} is loaded\n"),
                Err(SessionError::Agent(AgentError::Failed(why))) => {
                    words += &format!("irqbed: {why}\n");
                }
                Err(error) => return Err(error),
            }
        }
        words += &format!(
            "irqbed: your files are in {FOLDER}; `dmesg` shows the kernel's log, `exit` ends the guest.\n"
        );
        const SAY: &str = "printf '%s\\n' \"$1\" >/dev/console";
        self.guest.run(&["sh", "-c", SAY, "sh", &words])?;
        self.guest.ask(Request::Shell)?;
        let Self { guest, servers, .. } = self;
        guest.wait_attending(|guest| {
            attend(guest);
            devices_work(servers, &|_| None)
        })
    }

    /// Runs the scenario to its end. `say` gets what the program says as it says
    /// it.
    ///
    /// # Errors
    /// [`SessionError::Interrupted`]; whatever else happens is an outcome.
    pub fn run(
        mut self,
        scenario: &Scenario,
        say: &mut dyn FnMut(Stream, &str),
    ) -> Result<Outcome, SessionError> {
        let mut outcome = Outcome::default();
        let went = self.go(scenario, say, &mut outcome);
        outcome.faults = self.faults();
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
        say: &mut dyn FnMut(Stream, &str),
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
            self.run_program(scenario, say, outcome)?;
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

    fn run_program(
        &mut self,
        scenario: &Scenario,
        say: &mut dyn FnMut(Stream, &str),
        outcome: &mut Outcome,
    ) -> Result<(), SessionError> {
        let limit = scenario.limit;
        let request = Request::Watch {
            argv: scenario.argv.clone(),
            directory: FOLDER.to_owned(),
            limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
        };
        let ended = self.watch(&request, limit + GRACE, &mut |stream, text| {
            match stream {
                Stream::Stdout => outcome.stdout.push(text),
                Stream::Stderr => outcome.stderr.push(text),
            }
            say(stream, text);
        });
        let ending = match ended {
            Ok(ending) => ending,
            Err(SessionError::Agent(AgentError::Failed(why))) => {
                outcome.failures.push(Failure::Start(why));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match &ending {
            Ending::Exited { status } if *status == i32::from(scenario.status) => {}
            Ending::Exited { .. } | Ending::Signalled { .. } => outcome
                .failures
                .push(Failure::Program(ending.clone(), scenario.status)),
            Ending::Limit => outcome.failures.push(Failure::Limit(limit)),
            Ending::Stuck { stack } => outcome.failures.push(Failure::Stuck(stack.clone())),
        }
        outcome.ending = Some(ending);
        Ok(())
    }

    /// Has a program run; `said` gets what it says. Fails as soon as a device is
    /// gone, which the program might wait for to its last second.
    fn watch(
        &mut self,
        request: &Request,
        limit: Duration,
        said: &mut dyn FnMut(Stream, &str),
    ) -> Result<Ending, SessionError> {
        let Self { guest, servers, .. } = self;
        let deadline = Instant::now() + limit;
        guest.send(request)?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = guest.answer_watching(left, "the end of the program", |qemu_said| {
                devices_work(servers, qemu_said)
            })?;
            match answer {
                Reply::Said { stream, text } => said(stream, &text),
                Reply::Ended(ending) => return Ok(ending),
                answer => {
                    return Err(AgentError::Unexpected {
                        request: "running a program".to_owned(),
                        answer: format!("{answer:?}"),
                    }
                    .into());
                }
            }
        }
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
    fn leaks(&mut self) -> Result<Option<Vec<String>>, SessionError> {
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
        let request = Request::Watch {
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            directory: "/".to_owned(),
            limit_ms: u64::try_from(SCAN_LIMIT.as_millis()).unwrap_or(u64::MAX),
        };
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let ending = self.watch(
            &request,
            SCAN_LIMIT + GRACE,
            &mut |stream, text| match stream {
                Stream::Stdout => stdout.push_str(text),
                Stream::Stderr => stderr.push_str(text),
            },
        )?;
        Ok((ending, stdout, stderr))
    }

    fn devices_work(&mut self) -> Result<(), SessionError> {
        let Self { guest, servers, .. } = self;
        devices_work(servers, &|text| guest.qemu_said(text))
    }
}

/// `Err` once a device is gone. `qemu_said` finds a message of QEMU's.
fn devices_work(
    servers: &[(Builtin, ServerHandle)],
    qemu_said: &dyn Fn(&str) -> Option<String>,
) -> Result<(), SessionError> {
    for (_, server) in servers {
        if let Some(ServerEnd::Failed(why) | ServerEnd::Panicked(why)) = server.ended() {
            return Err(SessionError::Device(why));
        }
    }
    match qemu_said(LEFT) {
        Some(line) => Err(SessionError::Device(format!(
            "its device model has closed the connection (QEMU says: {line})"
        ))),
        None => Ok(()),
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
