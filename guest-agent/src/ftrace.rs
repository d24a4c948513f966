// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's own trace of scheduler and interrupts, stamped by the counter
//! that driver and agent stamp by: what held a processor while an event was on
//! its way. Nothing of this runs, and no file system is mounted for it, unless
//! the harness asks.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::DeflateEncoder};
use irqbed_abi::control::{Reply, TRACE_PIECE, Task, TraceSummary, TracedCpu};
use rustix::{
    io::Errno,
    mount::{MountFlags, mount},
};

use crate::proc_stat::behind_name;

/// Where the trace's files are.
const ROOT: &str = "/sys/kernel/tracing";
/// The trace's clock: the time stamp counter as it is.
const CLOCK: &str = "x86-tsc";

/// Tracepoints without which there is nothing to say.
const NEEDED: &[&str] = &[
    "sched/sched_switch",
    "sched/sched_waking",
    "irq/irq_handler_entry",
    "irq/irq_handler_exit",
    "irq/softirq_entry",
    "irq/softirq_exit",
];
/// Tracepoints that say more.
const WANTED: &[&str] = &[
    "sched/sched_wakeup",
    "sched/sched_wakeup_new",
    "irq/softirq_raise",
    "irq_vectors/local_timer_entry",
    "irq_vectors/local_timer_exit",
    "irq_vectors/reschedule_entry",
    "irq_vectors/reschedule_exit",
    "irq_vectors/call_function_entry",
    "irq_vectors/call_function_exit",
    "irq_vectors/call_function_single_entry",
    "irq_vectors/call_function_single_exit",
    "irq_vectors/irq_work_entry",
    "irq_vectors/irq_work_exit",
];

/// The trace as PID 1 knows it.
#[derive(Debug, Default)]
pub struct Ftrace {
    missing: Vec<String>,
    /// Open while the text is read.
    text: Option<File>,
}

impl Ftrace {
    /// Traces from now on, with so much room for each processor.
    pub fn start(&mut self, room_kib: u32) -> Result<()> {
        mount_it()?;
        *self = Self::default();
        set("tracing_on", "0")?;
        choose_clock()?;
        set("trace", "")?;
        set("buffer_size_kb", &room_kib.to_string())
            .with_context(|| format!("no room for a trace of {room_kib} KiB a processor"))?;
        for event in NEEDED {
            let needed = || format!("the guest's kernel lacks the tracepoint {event}");
            enable(event).with_context(needed)?;
        }
        for event in WANTED {
            if enable(event).is_err() {
                self.missing.push((*event).to_owned());
            }
        }
        set("tracing_on", "1")
    }

    /// What there is, once nothing is traced any more.
    pub fn summarize(&mut self) -> Result<TraceSummary> {
        freeze()?;
        set("events/enable", "0")?;
        let mut cpus = Vec::new();
        for cpu in 0.. {
            match fs::read_to_string(format!("{ROOT}/per_cpu/cpu{cpu}/stats")) {
                Ok(text) => cpus.push(statistics(cpu, &text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error).context("the trace has no statistics"),
            }
        }
        Ok(TraceSummary {
            cpus,
            tasks: tasks()?,
            missing: self.missing.clone(),
        })
    }

    /// The next piece of the text; an empty one at its end.
    pub fn read(&mut self) -> Result<Reply> {
        let mut text = match self.text.take() {
            Some(text) => text,
            None => File::open(format!("{ROOT}/trace")).context("cannot read the trace")?,
        };
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        let bytes = io::copy(&mut (&mut text).take(TRACE_PIECE.into()), &mut encoder)
            .context("cannot read the trace")?;
        if bytes > 0 {
            self.text = Some(text);
        }
        Ok(Reply::TracePiece {
            deflated: STANDARD.encode(encoder.finish()?),
            bytes: u32::try_from(bytes)?,
        })
    }
}

/// Traces no more, and keeps what there is.
pub fn freeze() -> Result<()> {
    set("tracing_on", "0")
}

fn mount_it() -> Result<()> {
    match mount("tracefs", ROOT, "tracefs", MountFlags::NOSUID, None) {
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(Errno::NODEV | Errno::NOENT) => bail!(
            "the guest's kernel cannot trace itself: it has no tracefs (CONFIG_FTRACE, \
             CONFIG_EVENT_TRACING)"
        ),
        Err(error) => Err(error).with_context(|| format!("cannot mount {ROOT}")),
    }
}

fn choose_clock() -> Result<()> {
    set("trace_clock", CLOCK).with_context(|| {
        let known = fs::read_to_string(format!("{ROOT}/trace_clock")).unwrap_or_default();
        format!(
            "the guest's kernel cannot trace by the clock {CLOCK}; it knows {}",
            known.trim()
        )
    })
}

fn enable(event: &str) -> Result<()> {
    set(&format!("events/{event}/enable"), "1")
}

/// Writes a file of the trace; one that is opened so is emptied first.
fn set(file: &str, value: &str) -> Result<()> {
    let path = format!("{ROOT}/{file}");
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&path)?;
        file.write_all(value.as_bytes())
    };
    write().with_context(|| format!("cannot write {value:?} to {path}"))
}

/// The figures of one processor: `entries: 50`, a line each.
fn statistics(cpu: u32, text: &str) -> TracedCpu {
    let figure = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(key, _)| *key == name);
        found.and_then(|(_, value)| value.trim().parse().ok())
    };
    let of = |name| figure(name).unwrap_or(0);
    TracedCpu {
        cpu,
        entries: of("entries"),
        overwritten: of("overrun"),
        dropped: of("commit overrun") + of("dropped events"),
    }
}

/// Every task there is; one that ends meanwhile is left out.
fn tasks() -> Result<Vec<Task>> {
    let mut tasks = Vec::new();
    for process in numbers(Path::new("/proc"))? {
        let home = format!("/proc/{process}");
        let Ok(command_line) = fs::read(format!("{home}/cmdline")) else {
            continue;
        };
        let arguments = arguments(&command_line);
        let ppid = fs::read_to_string(format!("{home}/stat"))
            .ok()
            .and_then(|stat| parent(&stat));
        let threads = numbers(Path::new(&format!("{home}/task"))).unwrap_or_default();
        for thread in threads {
            let name = fs::read(format!("{home}/task/{thread}/comm")).unwrap_or_default();
            tasks.push(Task {
                pid: thread,
                tgid: process,
                ppid: ppid.unwrap_or(0),
                name: String::from_utf8_lossy(name.trim_ascii_end()).into_owned(),
                arguments: arguments.clone(),
            });
        }
    }
    Ok(tasks)
}

/// The entries of a folder whose names are numbers.
fn numbers(folder: &Path) -> io::Result<Vec<i32>> {
    let entries = fs::read_dir(folder)?;
    let number = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    Ok(entries.filter_map(number).collect())
}

/// The words of `/proc/PID/cmdline`, each ended by a zero.
fn arguments(command_line: &[u8]) -> Vec<String> {
    let words = command_line.split(|byte| *byte == 0);
    let mut words: Vec<String> = words
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    words.pop();
    words
}

/// The parent, from `/proc/PID/stat`.
fn parent(stat: &str) -> Option<i32> {
    behind_name(stat)?.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_a_processor_are_found_by_name() {
        let text = "entries: 50\noverrun: 3\ncommit overrun: 1\nbytes: 1612\n\
                    oldest event ts: 4990308388\nnow ts: 5096652873\ndropped events: 2\n";
        let expected = TracedCpu {
            cpu: 1,
            entries: 50,
            overwritten: 3,
            dropped: 3,
        };
        assert_eq!(statistics(1, text), expected);
        assert_eq!(statistics(0, ""), TracedCpu::default());
    }

    #[test]
    fn the_parent_stands_behind_any_name() {
        assert_eq!(parent("7 (a) b) S 3 7 7 0"), Some(3));
        assert_eq!(parent("7 (cut"), None);
    }

    #[test]
    fn arguments_may_be_empty_and_a_thread_of_the_kernel_has_none() {
        assert_eq!(arguments(b"sh\0\0-c\0"), ["sh", "", "-c"]);
        assert!(arguments(b"").is_empty());
    }

    #[test]
    fn we_are_among_the_tasks() {
        let own = i32::try_from(std::process::id()).expect("a process id");
        let tasks = tasks().expect("procfs");
        let found = tasks.iter().find(|task| task.pid == own);
        let found = found.expect("this process");
        assert_eq!(found.tgid, own);
        assert!(!found.arguments.is_empty() && !found.name.is_empty());
    }
}
