// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the guest's tasks are called. The processes of the agent are all the
//! same program, which the kernel calls `exe`; their arguments say what each
//! is for.

use std::collections::BTreeMap;

use irqbed_abi::control::Task;

use super::ftrace::{Entry, TaskName, What};

/// How the agent starts itself.
const SELF: &str = "/proc/self/exe";

/// Names by task id.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<i32, String>);

impl Names {
    /// From the tasks there were at the end, and those that the trace names.
    #[must_use]
    pub fn new(tasks: &[Task], entries: &[Entry]) -> Self {
        let mut names = BTreeMap::new();
        for TaskName { pid, comm } in entries.iter().flat_map(named) {
            names.entry(*pid).or_insert_with(|| comm.clone());
        }
        names.extend(tasks.iter().map(|task| (task.pid, name(task))));
        Self(names)
    }

    /// The name of a task; `None` for one that nobody has named.
    #[must_use]
    pub fn get(&self, pid: i32) -> Option<&str> {
        self.0.get(&pid).map(String::as_str)
    }
}

fn named(entry: &Entry) -> Vec<&TaskName> {
    match &entry.what {
        What::Switch { prev, next, .. } => vec![prev, next],
        What::Waking(woken) | What::Wakeup(woken) | What::WakeupNew(woken) => vec![&woken.task],
        _ => vec![&entry.task],
    }
}

fn name(task: &Task) -> String {
    let words: Vec<&str> = task.arguments.iter().map(String::as_str).collect();
    match *words {
        [SELF, "listen", ..] => "listener".to_owned(),
        [SELF, "load", load, ..] => format!("load {load}"),
        [SELF, role, ..] => role.to_owned(),
        _ => task.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(pid: i32, name: &str, arguments: &[&str]) -> Task {
        Task {
            pid,
            tgid: pid,
            ppid: 1,
            name: name.to_owned(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_processes_of_the_agent_are_called_by_what_they_are_for() {
        let tasks = [
            task(1, "init", &["/init"]),
            task(60, "exe", &[SELF, "listen", "{}"]),
            task(62, "exe", &[SELF, "load", "net", "0"]),
            task(18, "rcu_preempt", &[]),
        ];
        let names = Names::new(&tasks, &[]);
        let of = |pid| names.get(pid).expect("a name");
        assert_eq!(
            (of(1), of(60), of(62), of(18)),
            ("init", "listener", "load net", "rcu_preempt")
        );
        assert_eq!(names.get(7), None);
    }
}
