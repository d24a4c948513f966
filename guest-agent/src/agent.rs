// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Serves the harness: takes each request from the control line, has it
//! carried out, and answers.

use std::{ops::ControlFlow, os::fd::BorrowedFd, process::Command, time::Duration};

use anyhow::{Context, Result};
use irqbed_abi::control::{CONTROL_VERSION, Hello, ListenerSpec, Reply, Request};
use rustix::system::uname;

use crate::{
    access, calibrate,
    children::{Children, PATH},
    control::{Incoming, Line},
    ftrace::{self, Ftrace},
    insmod,
    inspect::Inspector,
    instrument::Instrument,
    kmsg::Kmsg,
    listeners::Listeners,
    load::Disturbance,
    module, netlink, program,
    raw_netlink::{self, Destination},
    repliers, shell,
    supervise::{self, Caller},
    suspend, symbols, vfio,
};

/// What PID 1 knows.
pub struct Agent {
    line: Line,
    /// What came while a program was watched, and has ended it.
    unserved: Option<Incoming>,
    log: Kmsg,
    /// The place of [`Request::KernelMessages`] in the log, once it was asked.
    messages: Option<Kmsg>,
    children: Children,
    inspector: Inspector,
    listeners: Listeners,
    disturbance: Disturbance,
    ftrace: Ftrace,
}

impl Agent {
    /// An agent that has not said anything yet.
    pub fn new(line: Line) -> Result<Self> {
        let log = Kmsg::from_start().context("cannot open /dev/kmsg")?;
        Ok(Self {
            line,
            unserved: None,
            log,
            messages: None,
            children: Children::default(),
            inspector: Inspector::default(),
            listeners: Listeners::default(),
            disturbance: Disturbance::default(),
            ftrace: Ftrace::default(),
        })
    }

    /// Says hello and serves requests until the guest is to end.
    pub fn serve(&mut self) -> Result<()> {
        self.line.send(&Hello {
            irqbed: CONTROL_VERSION,
            kernel: uname().release().to_string_lossy().into_owned(),
            version: uname().version().to_string_lossy().into_owned(),
            agent: env!("CARGO_PKG_VERSION").to_owned(),
        })?;
        loop {
            let incoming = match self.unserved.take() {
                Some(incoming) => incoming,
                None => self.line.next()?,
            };
            let answer = match incoming {
                Incoming::End => return Ok(()),
                Incoming::Malformed(error) => Err(anyhow::anyhow!(error)),
                Incoming::Request(Request::PowerOff) => {
                    self.line.send(&Reply::Done)?;
                    self.line.drain();
                    return Ok(());
                }
                Incoming::Request(request) => self.carry_out(request),
            };
            self.line.send(&answer.unwrap_or_else(failed))?;
        }
    }

    fn carry_out(&mut self, request: Request) -> Result<Reply> {
        let children = &mut self.children;
        match request {
            Request::LoadModule { parameters } => module::load(&parameters).map(|()| Reply::Done),
            Request::UnloadModule => module::unload().map(|()| Reply::Done),
            Request::BindVfio => vfio::bind().map(|()| Reply::Done),
            Request::UnbindVfio => vfio::unbind().map(|()| Reply::Done),
            Request::Listen(spec) => self
                .listen(&spec)
                .map(|(listener, port_id)| Reply::Listening { listener, port_id }),
            Request::Report { listener } => self
                .listeners
                .report(children, listener)
                .map(Reply::Listener),
            Request::EndListener { listener, kill } => self
                .listeners
                .end(children, listener, kill)
                .map(Reply::Listener),
            Request::Counters => counters(false),
            Request::Flush => counters(true),
            Request::Calibrate => self.calibrate().map(|()| Reply::Done),
            Request::SendRaw {
                bytes,
                protocol,
                group,
                unprivileged,
            } => {
                let to = Destination::new(protocol, group)?;
                raw_netlink::send(children, to, &bytes, unprivileged)
            }
            Request::ReplyByIoctl { request } => {
                repliers::ioctl::send_raw(request).map(|errno| Reply::Returned { errno })
            }
            Request::TimeAccesses(accesses) => {
                access::time(&accesses).map(|cycles| Reply::Accessed { cycles })
            }
            Request::Run { argv } => program::run(children, &argv),
            Request::Watch {
                argv,
                directory,
                limit_ms,
            } => self.watch(&argv, &directory, Duration::from_millis(limit_ms)),
            // It came while the program ran, and has ended it.
            Request::EndWatch => Ok(Reply::Done),
            Request::Suspend(suspend) => {
                suspend::run(suspend, &mut self.line).map(|()| Reply::Done)
            }
            Request::InsertModule { path, parameters } => {
                let inspector = &mut self.inspector;
                insmod::insert(children, inspector, &path, &parameters).map(|()| Reply::Done)
            }
            Request::RemoveModule { name } => {
                insmod::remove(children, &mut self.inspector, &name).map(|()| Reply::Done)
            }
            Request::Inspect => Ok(Reply::Inspected(self.inspector.inspect())),
            Request::KernelMessages => self.kernel_messages(),
            Request::Shell => self.open_shell().map(|()| Reply::Done),
            Request::Disturb { load } => self.disturbance.set(children, load).map(|()| Reply::Done),
            Request::KernelLog => Ok(Reply::KernelLog {
                lines: self.log.warnings().to_vec(),
            }),
            Request::Symbols { addresses } => {
                symbols::of(&addresses).map(|symbols| Reply::Symbols { symbols })
            }
            Request::StartTrace { room_kib } => self.ftrace.start(room_kib).map(|()| Reply::Done),
            Request::FreezeTrace => ftrace::freeze().map(|()| Reply::Done),
            Request::SummarizeTrace => self.ftrace.summarize().map(Reply::Trace),
            Request::ReadTrace => self.ftrace.read(),
            Request::PowerOff => Ok(Reply::Done),
        }
    }

    /// Starts a listener: its number and port id.
    pub fn listen(&mut self, spec: &ListenerSpec) -> Result<(u32, u32)> {
        self.listeners.start(&mut self.children, spec)
    }

    /// Starts a shell on the console. The guest ends with it.
    pub fn open_shell(&mut self) -> Result<()> {
        let (pid, _child) = self.children.spawn(&mut shell::command())?;
        self.line
            .end_with(self.children.watch(pid).context("cannot watch it")?);
        Ok(())
    }

    fn watch(&mut self, argv: &[String], directory: &str, limit: Duration) -> Result<Reply> {
        let (program, arguments) = argv.split_first().context("no program to run")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(directory)
            .env_clear()
            .envs([("PATH", PATH), ("HOME", directory)]);
        let mut harness = Harness {
            line: &mut self.line,
            unserved: &mut self.unserved,
        };
        let Self {
            children,
            inspector,
            ..
        } = self;
        let ending = supervise::run(children, inspector, &mut command, limit, &mut harness)?;
        supervise::kill_all();
        Ok(Reply::Ended(ending))
    }

    fn kernel_messages(&mut self) -> Result<Reply> {
        let log = match &mut self.messages {
            Some(log) => log,
            none => none.insert(Kmsg::from_start().context("cannot open /dev/kmsg")?),
        };
        let (messages, left_out) = log.messages();
        Ok(Reply::KernelMessages { messages, left_out })
    }

    fn calibrate(&mut self) -> Result<()> {
        let bar = match self.listeners.driver(&mut self.children) {
            Some(listener) => vfio::instrument_of(listener)?,
            None => Instrument::open()?,
        };
        let words = bar
            .calibration()
            .context("the instrument BAR is too small")?;
        calibrate::serve(words, || self.line.send(&Reply::Calibrating))
    }
}

/// The harness while a program is watched.
struct Harness<'a> {
    line: &'a mut Line,
    unserved: &'a mut Option<Incoming>,
}

impl Caller for Harness<'_> {
    fn say(&mut self, said: Reply) -> Result<()> {
        self.line.send(&said)
    }

    fn line(&self) -> Option<BorrowedFd<'_>> {
        Some(self.line.as_fd())
    }

    fn hear(&mut self) -> Result<ControlFlow<()>> {
        match self.line.next_at_once()? {
            None => {}
            Some(Incoming::Request(Request::Suspend(suspend))) => {
                let resumed = suspend::run(suspend, self.line);
                let answer = resumed.map_or_else(failed, |()| Reply::Done);
                self.line.send(&answer)?;
            }
            other => {
                *self.unserved = other;
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn failed(error: anyhow::Error) -> Reply {
    Reply::Failed {
        error: format!("{error:#}").replace('\n', " "),
    }
}

fn counters(flush: bool) -> Result<Reply> {
    let counters = netlink::counters(flush)?;
    Ok(Reply::Counters(Box::new(counters)))
}
