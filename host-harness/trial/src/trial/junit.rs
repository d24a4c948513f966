// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Trials as JUnit writes tests: a suite with a case for each.

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::Outcome;

/// A trial, and how it ended; `Err` with the reason when its guest did not boot.
pub type Case = (String, Result<Outcome, String>);

/// All of them as one document.
///
/// # Errors
/// None that is known: it is written to memory.
pub fn junit(cases: &[Case]) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new("irqbed test");
    suite.add_test_cases(cases.iter().map(case));
    let mut report = Report::new("irqbed");
    report.add_test_suite(suite);
    report.to_string()
}

fn case((name, outcome): &Case) -> TestCase {
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(why) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(why.clone());
            return TestCase::new(name.clone(), status);
        }
    };
    let mut status = TestCaseStatus::success();
    if let Some(first) = outcome.failures.first() {
        status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(first.to_string());
        let lines: Vec<String> = outcome
            .failures
            .iter()
            .flat_map(|failure| {
                let details = failure.details().iter().map(|line| format!("    {line}"));
                std::iter::once(failure.to_string()).chain(details)
            })
            .collect();
        let evidence = outcome.evidence.iter().flat_map(|evidence| {
            let lines = evidence.lines.iter().map(|line| format!("    {line}"));
            std::iter::once(format!("{}:", evidence.title)).chain(lines)
        });
        let lines: Vec<String> = lines.into_iter().chain(evidence).collect();
        status.set_description(lines.join("\n"));
    }
    let mut case = TestCase::new(name.clone(), status);
    case.set_classname("irqbed");
    case.set_time(outcome.duration);
    for (index, step) in outcome.steps.iter().enumerate() {
        case.add_property((format!("step {}", index + 1), step.clone()));
    }
    for fault in &outcome.faults {
        let counts = &fault.counts;
        let name = format!("fault {} {}", fault.owner(), counts.fault);
        let value = format!("{} of {}", counts.hits, counts.opportunities);
        case.add_property((name, value));
    }
    case.set_system_out(outcome.stdout.text());
    let log = outcome.kernel_log.join("\n");
    let notes: String = outcome
        .notes
        .iter()
        .map(|note| format!("note: {note}\n"))
        .collect();
    case.set_system_err(format!(
        "{}{notes}kernel log:\n{log}\n",
        outcome.stderr.text()
    ));
    case
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use irqbed_machine::qemu::Port;
    use irqbed_results::result::FaultCounts;

    use super::super::{DeviceFault, Evidence, Failure};
    use super::*;

    #[test]
    fn a_case_says_why_it_failed_and_what_was_said() {
        let mut failed = Outcome {
            failures: vec![
                Failure::Limit {
                    limit: Duration::from_secs(5),
                    processes: vec!["dd (70) sleeps in edu_read < vfs_read".to_owned()],
                },
                Failure::Device("x".into()),
            ],
            evidence: vec![Evidence {
                title: "the kernel's last lines".to_owned(),
                lines: vec!["[    1.000000] edu: <x>".to_owned()],
            }],
            kernel_log: vec!["[    1.000000] <hello>".into()],
            steps: vec!["plug edu into port 0".to_owned()],
            faults: vec![DeviceFault {
                device: "edu".to_owned(),
                port: Some(Port(0)),
                counts: FaultCounts {
                    fault: "irq-lost:chance=0.1".to_owned(),
                    opportunities: 2000,
                    hits: 203,
                },
            }],
            duration: Duration::from_millis(1500),
            ..Outcome::default()
        };
        failed.stdout.push("a \u{1b}[1m & b\n");
        let cases = [
            ("good".to_owned(), Ok(Outcome::default())),
            ("bad".to_owned(), Ok(failed)),
            ("none".to_owned(), Err("no QEMU".to_owned())),
        ];
        let text = junit(&cases).expect("XML");
        for part in [
            r#"tests="3""#,
            r#"failures="1""#,
            r#"errors="1""#,
            r#"message="the program was stopped: it had not ended within 5 s; dd (70) sleeps in edu_read &lt; vfs_read""#,
            "last lines:\n    [    1.000000] edu: &lt;x&gt;",
            "a device is gone: x",
            "&lt;hello&gt;",
            "&amp; b",
            r#"time="1.500""#,
            r#"message="no QEMU""#,
            r#"<property name="step 1" value="plug edu into port 0"/>"#,
            r#"<property name="fault edu in port 0 irq-lost:chance=0.1" value="203 of 2000"/>"#,
        ] {
            assert!(text.contains(part), "no {part:?} in:\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "XML has no such character");
    }
}
