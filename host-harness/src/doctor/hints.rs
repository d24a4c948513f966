// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed doctor --fix-hints`: what of this machine moves a wall time, what it
//! is now, and how the user can change it, and back. We change nothing.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// How long the machine is watched.
const WATCHED: Duration = Duration::from_secs(1);
/// Looks in that time.
const LOOKS: u32 = 50;
/// What a virtual machine does not tell.
const INVISIBLE: &str = "not visible here";

/// One thing that moves a wall time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// In a word or two.
    pub what: &'static str,
    /// What it is now, one line.
    pub now: String,
    /// How it moves a result, one line.
    pub moves: &'static str,
    /// What the user can do, one line each, and how it is undone.
    pub remedy: Vec<String>,
}

impl Hint {
    fn new(what: &'static str, now: Option<String>, moves: &'static str) -> Self {
        let now = now.unwrap_or_else(|| INVISIBLE.to_owned());
        Self {
            what,
            now,
            moves,
            remedy: Vec::new(),
        }
    }

    /// With what changes a file of the kernel's, and what changes it back.
    fn or_write(mut self, value: &str, file: &str, before: &str) -> Self {
        self.remedy.extend([
            format!("change: echo {value} | sudo tee {file}"),
            format!("back:   echo {before} | sudo tee {file}"),
        ]);
        self
    }

    fn or(mut self, lines: &[&str]) -> Self {
        self.remedy = lines.iter().map(ToString::to_string).collect();
        self
    }
}

/// Looks at the machine for a second.
#[must_use]
pub fn examine() -> Vec<Hint> {
    let kernel = Files(PathBuf::from("/"));
    let mut hints = vec![
        governor(&kernel),
        turbo(&kernel),
        idle_states(&kernel),
        threads_of_a_core(&kernel),
        isolated(&kernel),
        huge_pages(&kernel),
    ];
    hints.extend(neighbours(&kernel));
    hints
}

/// A paragraph for each.
#[must_use]
pub fn render(hints: &[Hint]) -> String {
    let mut text = String::new();
    for hint in hints {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {}", hint.what, hint.now);
        let _ = writeln!(text, "    {}", hint.moves);
        for line in &hint.remedy {
            let _ = writeln!(text, "    {line}");
        }
        text.push('\n');
    }
    text.push_str("Instructions (--clock instructions) depend on none of these.\n");
    text
}

/// What the kernel shows below a folder, which is the root but for tests.
struct Files(PathBuf);

impl Files {
    fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let text = fs::read_to_string(self.0.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    /// The values of a file of each processor, each once.
    fn of_processors(&self, file: &str) -> Option<String> {
        let folder = fs::read_dir(self.0.join("sys/devices/system/cpu")).ok()?;
        let values: BTreeSet<String> = folder
            .filter_map(|entry| self.read(entry.ok()?.path().join(file)))
            .collect();
        (!values.is_empty()).then(|| values.into_iter().collect::<Vec<_>>().join(", "))
    }
}

fn governor(kernel: &Files) -> Hint {
    const FILE: &str = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor";
    let now = kernel.of_processors("cpufreq/scaling_governor");
    let hint = Hint::new(
        "frequency governor",
        now.clone(),
        "another one than performance slows a processor down while it waits for events, and the \
         next event finds it slow",
    );
    match now {
        Some(now) if now != "performance" => {
            let before = now.split(", ").next().unwrap_or(&now);
            hint.or_write("performance", FILE, before)
        }
        _ => hint,
    }
}

fn turbo(kernel: &Files) -> Hint {
    // The first says when it is off, the second when it is on.
    let files = [
        ("sys/devices/system/cpu/intel_pstate/no_turbo", "1"),
        ("sys/devices/system/cpu/cpufreq/boost", "0"),
    ];
    let found = files
        .into_iter()
        .find_map(|(file, off)| Some((file, off, kernel.read(file)?)));
    let moves = "a processor that may boost is as fast as its heat and its neighbours let it be: \
                 times are shorter, and differ more from run to run";
    let Some((file, off, now)) = found else {
        return Hint::new("turbo", None, moves);
    };
    let is_off = now == off;
    let word = if is_off { "off" } else { "on" };
    let hint = Hint::new("turbo", Some(word.to_owned()), moves);
    if is_off {
        hint
    } else {
        hint.or_write(off, &format!("/{file}"), &now)
    }
}

fn idle_states(kernel: &Files) -> Hint {
    const FILE: &str = "/sys/devices/system/cpu/cpu*/cpuidle/state[1-9]*/disable";
    let moves = "an event wakes threads one after the other, and each may have to wake a \
                 processor; the deeper it sleeps, the longer that takes";
    let driver = kernel
        .read("sys/devices/system/cpu/cpuidle/current_driver")
        .filter(|driver| driver != "none");
    let Some(driver) = driver else {
        return Hint::new("idle states", None, moves);
    };
    let governor = kernel.read("sys/devices/system/cpu/cpuidle/current_governor_ro");
    let disabled = kernel.of_processors("cpuidle/state1/disable");
    let state = match disabled.as_deref() {
        Some("0") => "processors may sleep",
        Some("1") => "the first sleeping state is disabled",
        _ => "some processors may sleep",
    };
    let now = format!(
        "{driver}, {} governor: {state}",
        governor.as_deref().unwrap_or("unknown")
    );
    let hint = Hint::new("idle states", Some(now), moves);
    match disabled.as_deref() {
        Some("1") => hint,
        _ => hint.or_write("1", FILE, "0"),
    }
}

fn threads_of_a_core(kernel: &Files) -> Hint {
    const FILE: &str = "/sys/devices/system/cpu/smt/control";
    let now = kernel.read("sys/devices/system/cpu/smt/control");
    let moves = "two threads of a core share its units: what runs on the other one makes an event \
                 slower, and is not seen as load";
    match now.as_deref() {
        Some("notsupported" | "notimplemented") => {
            let none = "the processors that are seen share no core, or do not tell";
            Hint::new("SMT", Some(none.to_owned()), moves)
        }
        Some("on") => Hint::new("SMT", now, moves).or_write("off", FILE, "on"),
        _ => Hint::new("SMT", now, moves),
    }
}

fn isolated(kernel: &Files) -> Hint {
    let now = kernel.read("sys/devices/system/cpu/isolated");
    let moves = "on a processor that is not isolated the host runs whatever it has to run, between \
                 two steps of an event";
    match now.as_deref() {
        Some("") => Hint::new("isolated processors", Some("none".to_owned()), moves).or(&[
            "change: put isolcpus=LIST nohz_full=LIST into GRUB_CMDLINE_LINUX of /etc/default/grub, then",
            "        sudo update-grub && sudo reboot, and measure by taskset -c LIST ./just bench",
            "back:   take it out again, then sudo update-grub && sudo reboot",
        ]),
        Some(list) => {
            let command = format!("use:    taskset -c {list} ./just bench");
            Hint::new("isolated processors", now, moves).or(&[&command])
        }
        None => Hint::new("isolated processors", None, moves),
    }
}

fn huge_pages(kernel: &Files) -> Hint {
    const FOLDER: &str = "sys/kernel/mm/transparent_hugepage";
    // One of several words stands in brackets.
    let chosen = |file: &str| {
        let text = kernel.read(Path::new(FOLDER).join(file))?;
        let (_, rest) = text.split_once('[')?;
        Some(rest.split_once(']')?.0.to_owned())
    };
    let moves = "huge pages save the processor's look-ups; a kernel that makes them while it runs \
                 stops whoever uses the memory. Guest memory is shared memory";
    let what = "transparent huge pages";
    match (chosen("enabled"), chosen("shmem_enabled")) {
        (Some(all), Some(shared)) => {
            let now = format!("{all}, of shared memory {shared}");
            [("enabled", all), ("shmem_enabled", shared)]
                .into_iter()
                .filter(|(_, chosen)| chosen != "never")
                .fold(Hint::new(what, Some(now), moves), |hint, (file, chosen)| {
                    hint.or_write("never", &format!("/{FOLDER}/{file}"), &chosen)
                })
        }
        (all, _) => Hint::new(what, all, moves),
    }
}

/// What else the machine does, and what it is not given.
fn neighbours(kernel: &Files) -> [Hint; 2] {
    let before = Times::read(kernel);
    let mut runnable = 0;
    for _ in 0..LOOKS {
        thread::sleep(WATCHED / LOOKS);
        // This thread is one of them.
        runnable += running(kernel).unwrap_or(1).saturating_sub(1);
    }
    let stolen = before
        .zip(Times::read(kernel))
        .and_then(|(before, after)| before.stolen_until(&after));
    let load = kernel.read("proc/loadavg").map(|text| {
        let minute = text.split(' ').next().unwrap_or_default().to_owned();
        let others = f64::from(runnable) / f64::from(LOOKS);
        format!("{others:.1} others wanted a processor just now; {minute} in the last minute")
    });
    [
        Hint::new(
            "steal time",
            stolen.map(|percent| format!("{percent:.1} % of the last second")),
            "the host of this virtual machine ran something else meanwhile: events that were on \
             their way waited, and nothing in the guest tells",
        )
        .or(&[
            "change: nothing from here: another time, a machine of your own, or irqbed ab, which",
            "        lets it happen to both sides",
        ]),
        Hint::new(
            "load",
            load,
            "an event waits for a processor that another task has; and processors that are busy \
             do not sleep, which makes others faster",
        )
        .or(&["see:    ps -eo pid,pcpu,comm --sort=-pcpu | head"]),
    ]
}

/// Tasks that run or want to.
fn running(kernel: &Files) -> Option<u32> {
    let text = kernel.read("proc/stat")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("procs_running "))?;
    line.trim().parse().ok()
}

/// What the processors did since they were started, in ticks.
struct Times {
    all: u64,
    stolen: u64,
}

impl Times {
    /// From `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal;
    /// guests are in user already (`proc_stat(5)`).
    fn read(kernel: &Files) -> Option<Self> {
        let text = kernel.read("proc/stat")?;
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line
            .split_ascii_whitespace()
            .take(8)
            .map_while(|word| word.parse().ok())
            .collect();
        Some(Self {
            all: ticks.iter().sum(),
            stolen: *ticks.get(7)?,
        })
    }

    /// Percent of the time until a later reading.
    fn stolen_until(&self, later: &Self) -> Option<f64> {
        let all = later.all.checked_sub(self.all).filter(|&all| all > 0)?;
        let stolen = later.stolen.saturating_sub(self.stolen);
        Some(stolen as f64 / all as f64 * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let kernel = Files(folder.path().to_owned());
        (folder, kernel)
    }

    #[test]
    fn what_a_machine_does_not_show_is_not_visible_and_has_no_command() {
        let (_folder, kernel) = files(&[]);
        for hint in [
            governor(&kernel),
            turbo(&kernel),
            idle_states(&kernel),
            threads_of_a_core(&kernel),
            isolated(&kernel),
            huge_pages(&kernel),
        ] {
            assert_eq!(hint.now, INVISIBLE, "{hint:?}");
            assert!(hint.remedy.is_empty(), "{hint:?}");
        }
    }

    #[test]
    fn what_can_be_changed_comes_with_the_way_back() {
        let (_folder, kernel) = files(&[
            (
                "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
                "powersave\n",
            ),
            (
                "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
                "powersave\n",
            ),
            ("sys/devices/system/cpu/intel_pstate/no_turbo", "0\n"),
            ("sys/devices/system/cpu/smt/control", "on\n"),
            (
                "sys/kernel/mm/transparent_hugepage/enabled",
                "always [madvise] never\n",
            ),
            (
                "sys/kernel/mm/transparent_hugepage/shmem_enabled",
                "always [never] deny\n",
            ),
        ]);
        let hint = governor(&kernel);
        assert_eq!(hint.now, "powersave");
        assert!(hint.remedy[0].contains("echo performance | sudo tee /sys/"));
        assert!(hint.remedy[1].contains("echo powersave | sudo tee /sys/"));
        let hint = turbo(&kernel);
        assert_eq!(hint.now, "on");
        assert!(hint.remedy[0].contains("echo 1") && hint.remedy[1].contains("echo 0"));
        assert!(threads_of_a_core(&kernel).remedy[1].contains("echo on"));
        let hint = huge_pages(&kernel);
        assert_eq!(hint.now, "madvise, of shared memory never");
        // What is as it should be needs no change.
        assert_eq!(hint.remedy.len(), 2);
        assert!(hint.remedy[1].contains("echo madvise"), "{hint:?}");
    }

    #[test]
    fn what_is_as_it_should_be_needs_no_command() {
        let (_folder, kernel) = files(&[
            (
                "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
                "performance\n",
            ),
            ("sys/devices/system/cpu/cpufreq/boost", "0\n"),
            ("sys/devices/system/cpu/smt/control", "off\n"),
        ]);
        for hint in [
            governor(&kernel),
            turbo(&kernel),
            threads_of_a_core(&kernel),
        ] {
            assert!(hint.remedy.is_empty(), "{hint:?}");
        }
    }

    #[test]
    fn stolen_time_is_a_part_of_all_there_was() {
        let of = |line: &str| {
            let (_folder, kernel) = files(&[("proc/stat", line)]);
            Times::read(&kernel)
        };
        let before = of("cpu  100 0 50 800 50 0 0 10 0 0\n").unwrap();
        let after = of("cpu  150 0 50 830 50 0 0 30 0 0\n").unwrap();
        assert_eq!(before.stolen_until(&after), Some(20.0));
        assert_eq!(before.stolen_until(&before), None);
        assert!(of("cpu  1 2 3\n").is_none());
        assert!(of("").is_none());
    }
}
