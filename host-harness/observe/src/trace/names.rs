// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the guest's tasks are called. The processes of the agent are all the
//! same program, which the kernel calls `exe`; their arguments say what each
//! is for.

use std::collections::BTreeMap;

use irqbed_abi::control::{Behaviour, ListenerSpec, Task};

use super::ftrace::{Entry, TaskName, What};

/// How the agent starts itself.
const SELF: &str = "/proc/self/exe";

/// Names by task id.
#[derive(Debug, Default)]
pub struct Names {
    names: BTreeMap<i32, String>,
    listener: Option<i32>,
}

impl Names {
    /// From the tasks there were at the end, and those that the trace names.
    #[must_use]
    pub fn new(tasks: &[Task], entries: &[Entry]) -> Self {
        let mut names = BTreeMap::new();
        for TaskName { pid, comm } in entries.iter().flat_map(named) {
            names.entry(*pid).or_insert_with(|| comm.clone());
        }
        names.extend(tasks.iter().map(|task| (task.pid, name(task))));
        Self {
            names,
            listener: tasks
                .iter()
                .find(|task| measures(task))
                .map(|task| task.pid),
        }
    }

    /// The name of a task; `None` for one that nobody has named.
    #[must_use]
    pub fn get(&self, pid: i32) -> Option<&str> {
        self.names.get(&pid).map(String::as_str)
    }

    /// The listener that is measured.
    #[must_use]
    pub fn listener(&self) -> Option<i32> {
        self.listener
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

/// Whether a task is the listener whose stamps count.
fn measures(task: &Task) -> bool {
    let words: Vec<&str> = task.arguments.iter().map(String::as_str).collect();
    let [SELF, "listen", spec, ..] = *words else {
        return false;
    };
    let spec: Result<ListenerSpec, _> = serde_json::from_str(spec);
    task.pid == task.tgid && spec.is_ok_and(|spec| spec.behaviour == Behaviour::Measure)
}

#[cfg(test)]
mod tests {
    use irqbed_abi::control::Mechanism;

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
        let spec = |behaviour| {
            serde_json::to_string(&ListenerSpec::new(Mechanism::Netlink, behaviour)).expect("JSON")
        };
        let (count, measure) = (spec(Behaviour::Count), spec(Behaviour::Measure));
        let tasks = [
            task(1, "init", &["/init"]),
            task(60, "exe", &[SELF, "listen", &count]),
            task(61, "exe", &[SELF, "listen", &measure]),
            task(62, "exe", &[SELF, "load", "net", "0"]),
            task(18, "rcu_preempt", &[]),
        ];
        let names = Names::new(&tasks, &[]);
        let of = |pid| names.get(pid).expect("a name");
        assert_eq!(
            (of(1), of(60), of(62), of(18)),
            ("init", "listener", "load net", "rcu_preempt")
        );
        assert_eq!((names.listener(), names.get(7)), (Some(61), None));
    }
}
