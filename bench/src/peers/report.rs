// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tables, as Markdown.

use std::fmt::Write;

use irqbed_results::{environment::Environment, units::thousands};

use super::{
    Measured, Plan, Quantile, Ratio, Rounds, Subject,
    turns::{BATCHES, CYCLICTEST},
};

use Quantile::{P50, P99};

/// What is compared: ours first, and what it must reach, where it must.
const RATIOS: &[(Subject, Subject, Quantile, Option<f64>)] = &[
    (Subject::OursIsr, Subject::IvshmemIsr, P50, Some(1.05)),
    (Subject::OursIsr, Subject::IvshmemIsr, P99, Some(1.05)),
    (Subject::OursIsr, Subject::KvmFloor, P50, Some(2.0)),
    (Subject::OursIsr, Subject::EduFactorialIsr, P50, None),
    (Subject::OursEventfd, Subject::IvshmemEventfd, P50, None),
    (Subject::OursEventfd, Subject::IvshmemEventfd, P99, None),
    (Subject::OursRead, Subject::IvshmemRead, P50, None),
    (Subject::OursRead, Subject::IvshmemRead, P99, None),
    (Subject::OursNetlink, Subject::IvshmemEventfd, P50, None),
    (
        Subject::OursEventfd,
        Subject::EduFactorialEventfd,
        P50,
        None,
    ),
    (Subject::OursEventfd, Subject::Timer, P50, None),
    (Subject::TrappedRead, Subject::EduRead, P50, None),
    (Subject::TrappedWrite, Subject::EduWrite, P50, None),
    (Subject::MappedRead, Subject::IvshmemMemoryRead, P50, None),
    (Subject::MappedRead, Subject::RamRead, P50, None),
];

/// A comparison, and where it was made.
#[derive(Debug)]
pub struct Report<'a> {
    /// What was measured.
    pub measured: &'a Measured,
    /// How much of it.
    pub plan: &'a Plan,
    /// Where.
    pub environment: &'a Environment,
    /// What a person types to have it again.
    pub command: &'a str,
}

impl Report<'_> {
    /// The document.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "<!-- SPDX-License-Identifier: Apache-2.0 OR MIT -->\n\
             # The event device beside its peers\n\n",
        );
        // Nothing fails in a string.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let plan = self.plan;
        writeln!(text, "    $ {}\n", self.command)?;
        writeln!(
            text,
            "{} rounds in one guest; in each, and each time in another order, every line had one \
             block of {} events, at most 1,000 a second, or {} batches of accesses.\n",
            thousands(plan.rounds),
            thousands(plan.events),
            BATCHES,
        )?;
        self.ratios(text)?;
        self.subjects(text)?;
        self.notes(text)?;
        self.place(text)
    }

    fn ratios(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "## Ratios\n")?;
        writeln!(
            text,
            "| this | to this | at | ratio | 95 % interval | goal |"
        )?;
        writeln!(text, "| --- | --- | --- | ---: | ---: | --- |")?;
        for &(ours, other, quantile, goal) in RATIOS {
            let ratio = self
                .rounds(ours)
                .zip(self.rounds(other))
                .and_then(|(ours, other)| ours.ratio(other, quantile));
            let Some(ratio) = ratio else { continue };
            writeln!(
                text,
                "| {} | {} | {} | {:.3} | {:.3} to {:.3} | {} |",
                ours.title(),
                other.title(),
                quantile.as_str(),
                ratio.value,
                ratio.interval.low,
                ratio.interval.high,
                goal.map_or(String::new(), |goal| verdict(&ratio, goal)),
            )?;
        }
        writeln!(text)
    }

    fn subjects(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "## Times, µs\n")?;
        writeln!(text, "| | count | p50 | p99 |")?;
        writeln!(text, "| --- | ---: | ---: | ---: |")?;
        for subject in Subject::ALL {
            let Some(rounds) = self.rounds(subject) else {
                continue;
            };
            let at = |quantile| rounds.quantile(quantile).map_or(String::new(), micros);
            writeln!(
                text,
                "| {} | {} | {} | {} |",
                subject.title(),
                thousands(rounds.count() as u64),
                at(P50),
                at(P99),
            )?;
        }
        writeln!(text)
    }

    fn notes(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "Ours and `ivshmem-doorbell` are raised by the same thread of the same process, with \
             a stamp just before the write to the eventfd, and their handlers stamp with their \
             first instruction. `edu` interrupts at once before its process can wait, so that is \
             measured to the handler alone; its thread computes a factorial first. The timer is \
             that of `{CYCLICTEST}` at 1,000 a second. KVM's figure has no hypervisor process, \
             no bus and no kernel in the guest, and goes the way back to the host, too. Accesses are those of a process, without a driver."
        )?;
        if let Some(why) = &self.measured.no_floor {
            writeln!(text, "\nWithout KVM's floor: {why}.")?;
        }
        Ok(())
    }

    fn place(&self, text: &mut String) -> std::fmt::Result {
        let Environment {
            irqbed,
            date,
            qemu,
            guest_kernel,
            accelerator,
            accelerator_reason,
            cpu,
            cores,
            memory_mib,
            host_kernel,
            ..
        } = self.environment;
        let wall = &self.measured.wall;
        let placement = match &self.measured.placement {
            Some(placement) => format!("{placement}; KVM's guest on the first of these"),
            None => "wherever the host's scheduler put them".to_owned(),
        };
        write!(
            text,
            "\n- guest: Linux {guest_kernel} in QEMU {qemu}\n\
             - accelerator: {accelerator} ({accelerator_reason})\n\
             - host: {cpu}, {cores} cores, {} MiB, Linux {host_kernel}\n\
             - threads while interrupts are measured: {placement}\n\
             - clock: error bound {}, drift {}\n\
             - irqbed {irqbed}, {date}\n",
            thousands(*memory_mib),
            wall.error_bound,
            wall.drift,
        )
    }

    fn rounds(&self, subject: Subject) -> Option<&Rounds> {
        self.measured.subjects.get(&subject)
    }
}

/// A goal that is inside of the interval is neither reached nor missed for sure.
fn verdict(ratio: &Ratio, goal: f64) -> String {
    let word = if ratio.interval.high <= goal {
        "reached"
    } else if ratio.interval.low > goal {
        "missed"
    } else if ratio.value <= goal {
        "reached, not for sure"
    } else {
        "missed, not for sure"
    };
    format!("at most {goal:.2}: {word}")
}

/// Four digits, however little it is.
fn micros(nanos: f64) -> String {
    let micros = nanos / 1e3;
    match micros {
        micros if micros < 0.01 => format!("{micros:.5}"),
        micros if micros < 1.0 => format!("{micros:.3}"),
        micros => format!("{micros:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::Interval;

    #[test]
    fn a_goal_is_reached_for_sure_or_not() {
        let said = |value, low, high| {
            let interval = Interval { low, high };
            verdict(&Ratio { value, interval }, 1.05)
        };
        assert!(said(1.0, 0.99, 1.02).ends_with("1.05: reached"));
        assert!(said(1.0, 0.99, 1.20).ends_with("reached, not for sure"));
        assert!(said(1.1, 0.99, 1.20).ends_with("missed, not for sure"));
        assert!(said(1.1, 1.07, 1.20).ends_with("1.05: missed"));
    }

    #[test]
    fn what_takes_a_nanosecond_is_seen() {
        assert_eq!(micros(0.63), "0.00063");
        assert_eq!(micros(310.0), "0.310");
        assert_eq!(micros(35_840.0), "35.84");
    }
}
