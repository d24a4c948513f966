// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whole tables, as they should look.

use irqbed_results::{account::Loss, result::FaultCounts, stages::Sample, units::Nanos};

use super::*;
use crate::examples;

/// Compares with what stands in the test, which begins with a line feed.
fn shows(document: &Document, expected: &str) {
    let found = render(document);
    assert_eq!(
        found,
        expected.trim_start_matches('\n'),
        "it shows\n{found}"
    );
    for line in found.lines() {
        assert!(line.chars().count() <= WIDTH, "too wide: {line}");
    }
}

#[test]
fn a_run_in_wall_time() {
    shows(
        &examples::document(examples::wall()),
        "
netlink in hardirq, wall clock: 1,000 events of 16 bytes at 1,000/s in 1.00 s

stage, µs        count     min     p50     p90     p99   p99.9     max
raise_to_isr     1,000   75.00  137.25  277.05  319.53  324.00  324.50
isr_to_notify    1,000    0.90    1.40    1.80    1.89    1.90    1.90
notify_to_user   1,000  150.00  154.99  158.99  159.89  159.98  159.99
isr_to_user      1,000  150.90  156.39  160.79  161.78  161.88  161.89
raise_to_user    1,000  225.90  293.64  437.84  481.31  485.88  486.39
clock: error bound 310 ns, drift 40 ns (each at most 1.00 µs in a valid result)
account: raised 1,000 = delivered 1,000 + lost 0

    500 µs +                                 *********************************
           |                  ****************
    400 µs +             ******
           |         ****
    300 µs +      ***
           |    ***
           |****
    200 µs +
           |
           |     ooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooo
           |oooooo
           +----------------------+--------------------+---------------------+
            0                    90                   99                   99.9
            percentile of * raise_to_user  o isr_to_user

guest: Linux 6.12.117+deb12-amd64 in QEMU 11.1.3 (Debian 1:11.1.3+ds-1)
accelerator: tcg (KVM opens but cannot run a 64-bit guest: emulation failure at
             cmpxchg16b)
host: CPU AMD EPYC, 2 cores, 8,192 MiB, Linux 6.1.0-40-amd64
irqbed: 0.1.0, 2026-02-03T04:05:06Z
",
    );
}

#[test]
fn a_run_in_instructions() {
    let mut result = examples::instructions();
    result
        .notes
        .push("1 event of 1,000 met the guest's scheduler tick".to_owned());
    shows(
        &examples::document(result),
        "
netlink in hardirq, instructions: 1,000 events of 16 bytes at 1,000/s in 1.00 s

stage, instr.    count     min     p50     p90     p99   p99.9     max
isr_to_notify    1,000     412     412     412     412     412     412
notify_to_user   1,000   6,311   6,311   6,311   6,311   6,311  65,747
isr_to_user      1,000   6,723   6,723   6,723   6,723   6,723  66,159
clock: executed guest instructions, exact; the way from the host is not counted
account: raised 1,000 = delivered 1,000 + lost 0
note: 1 event of 1,000 met the guest's scheduler tick

           |                                                                 o
    50,000 +                                                                 o
           |                                                                 o
           |                                                                 o
           |                                                                 o
    20,000 +                                                                 o
           |                                                                 o
           |                                                                 o
    10,000 +                                                                 o
           |                                                                 o
           |oooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooo
           +----------------------+--------------------+---------------------+
            0                    90                   99                   99.9
            percentile of o isr_to_user (instructions)

guest: Linux 6.12.117+deb12-amd64 in QEMU 11.1.3 (Debian 1:11.1.3+ds-1)
accelerator: tcg (KVM opens but cannot run a 64-bit guest: emulation failure at
             cmpxchg16b)
host: CPU AMD EPYC, 2 cores, 8,192 MiB, Linux 6.1.0-40-amd64
irqbed: 0.1.0, 2026-02-03T04:05:06Z
",
    );
}

#[test]
fn a_run_that_lost_events_names_each_loss() {
    let mut result = examples::wall();
    result.account.delivered = 960;
    result
        .account
        .lose(Loss::SocketFull, 30)
        .lose(Loss::RingOverflow, 8);
    result.parameters.rate_hz = None;
    result.clock = Clock::wall(Nanos(310), Nanos(1_500), Nanos(1_000));
    let found = render(&examples::document(result));
    for line in [
        "account: raised 1,000 = delivered 960 + lost 38 (ring_overflow 8, socket_full\n         \
         30) + unexplained 2\n",
        "INVALID: the clock is not good enough: error bound 310 ns, drift 1.50 µs, at\n         \
         most 1.00 µs each is claimed; measure again when the machine is less\n         \
         busy, or by --clock instructions, which no load changes\n",
        "INVALID: the account does not balance: 2 events unexplained\n",
    ] {
        assert!(found.contains(line), "{found}");
    }
}

#[test]
fn a_type_of_interrupt_that_is_not_the_usual_one_is_said() {
    let mut result = examples::instructions();
    result.parameters.irq = InterruptType::Intx;
    let one = render(&examples::document(result.clone()));
    let words = "instructions, INTx: 1,000 events of 16 bytes";
    assert!(one.contains(words), "{one}");
    let mut document = examples::document(result.clone());
    document.results.push(result);
    let several = render(&document);
    assert!(several.contains(words), "{several}");
}

#[test]
fn values_of_many_digits_still_fit() {
    for (unit, value) in [
        (Unit::Nanoseconds, 9_999_999_999),
        (Unit::Instructions, 9_999_999),
    ] {
        let mut histograms = irqbed_results::stages::StageHistograms::new(unit);
        for leg in (0..1000).map(|event| if event < 980 { 5_000 } else { value }) {
            histograms.record(&Sample {
                notify_to_user: Some(leg),
                ..Sample::default()
            });
        }
        let mut result = if unit == Unit::Nanoseconds {
            examples::wall()
        } else {
            examples::instructions()
        };
        result.stages = (&histograms).into();
        for line in render(&examples::document(result)).lines() {
            assert!(line.chars().count() <= WIDTH, "too wide: {line}");
        }
    }
}

#[test]
fn wake_ups_show_where_they_are_not_one_for_each_event() {
    let mut result = examples::wall();
    let shown = |result: &RunResult| render(&examples::document(result.clone()));
    assert!(!shown(&result).contains("wake-ups"));
    result.listeners[0].wake_ups = 63;
    let found = shown(&result);
    assert!(found.contains("wake-ups: 63 for 1,000 events\n"), "{found}");
}

#[test]
fn signals_that_overflowed_are_in_the_text_as_they_are_in_json() {
    let mut result = examples::wall();
    let shown = |result: &RunResult| render(&examples::document(result.clone()));
    assert!(!shown(&result).contains("signals:"));
    result.listeners[0].signal_overflows = 1_063;
    // A paragraph is wrapped.
    let found = shown(&result)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let words = "listener 0 overflowed 1,063 times; no event is lost by it";
    assert!(found.contains(words), "{found}");
}

#[test]
fn the_highest_lossless_rate_stands_with_what_is_lost_above() {
    let mut result = examples::wall();
    let mut lossy = Account::new(21_000, 20_990);
    lossy.lose(Loss::SocketFull, 10);
    result.saturation = Some(Saturation {
        lossless_hz: 20_000.0,
        lossy: Some(Lossy {
            hz: 21_000.0,
            account: lossy,
        }),
        trial_ns: Nanos(1_000_000_000),
    });
    let found = render(&examples::document(result.clone()));
    let words = "lossless: up to 20,000 events/s, in trials of 1.00 s; at 21,000/s: raised 21,000";
    assert!(found.contains(words), "{found}");
    assert!(found.contains("socket_full 10"), "{found}");

    let mut document = examples::document(result.clone());
    result.context = "bh".to_owned();
    document.results.push(result);
    let found = render(&document);
    assert!(found.contains("  events/s\n"), "{found}");
    assert!(found.contains("1,000  20,000\n"), "{found}");
}

#[test]
fn of_several_rounds_the_one_in_the_middle_is_shown() {
    let round = |length: i64| {
        let mut histograms = irqbed_results::stages::StageHistograms::new(Unit::Nanoseconds);
        histograms.record(&Sample {
            isr_to_notify: Some(0),
            notify_to_user: Some(length),
            ..Sample::default()
        });
        RunResult {
            stages: (&histograms).into(),
            ..examples::wall()
        }
    };
    let mut document = examples::document(round(300_000));
    document.results.extend([round(100_000), round(200_000)]);
    let found = render(&document);
    assert!(
        found.starts_with("netlink in hardirq, wall clock"),
        "{found}"
    );
    assert!(found.contains("isr_to_user          1  200.00"), "{found}");
    assert!(found.contains("rounds: 3 of each"), "{found}");
}

#[test]
fn a_run_without_any_event_says_so() {
    let mut result = examples::wall();
    result.stages = irqbed_results::result::Stages::default();
    assert!(render(&examples::document(result)).contains("no event arrived at any stage"));
}

#[test]
fn what_went_wrong_with_the_device_stands_under_the_account() {
    let mut result = examples::wall();
    result.faults.push(FaultCounts {
        fault: "irq-lost:chance=0.1".to_owned(),
        opportunities: 2000,
        hits: 203,
    });
    let found = render(&examples::document(result.clone()));
    let lines = "account: raised 1,000 = delivered 1,000 + lost 0\n\
                 fault: irq-lost:chance=0.1 happened 203 of 2,000 times\n";
    assert!(found.contains(lines), "{found}");
    let mut document = examples::document(result.clone());
    result.context = "bh".to_owned();
    document.results.push(result);
    let found = render(&document);
    let line = "netlink in bh: irq-lost:chance=0.1 happened 203 of 2,000 times\n";
    assert!(found.contains(line), "{found}");
}

#[test]
fn a_run_with_replies_shows_the_way_back_and_its_account() {
    let mut result = examples::replied();
    let found = render(&examples::document(result.clone()));
    for line in [
        "netlink in hardirq, replies by write, wall clock: 1,000 events of 16 bytes at",
        "reply_to_command    1,000   30.00   30.50   30.90   30.99   31.00   31.00",
        "command_to_device   1,000   40.00   40.00   40.00   40.00   40.00   40.00",
        "reply_to_device     1,000   70.00   70.50   70.90   70.99   71.00   71.00",
        "raise_to_device     1,000  296.00  296.50  296.90  296.99  297.00  297.00",
        "replies: made 1,000 = seen by the device 1,000 + lost 0",
    ] {
        assert!(found.contains(line), "{found}");
    }
    for line in found.lines() {
        assert!(line.chars().count() <= WIDTH, "too wide: {line}");
    }
    if let Some(replies) = &mut result.replies {
        replies.account.delivered = 990;
        replies.account.lose(Loss::ReplyRefused, 8);
    }
    let found = render(&examples::document(result));
    for line in [
        "replies: made 1,000 = seen by the device 990 + lost 8 (reply_refused 8) +",
        "INVALID: the account of the replies does not balance: 2 replies unexplained",
    ] {
        assert!(found.contains(line), "{found}");
    }
}

#[test]
fn several_ways_to_reply_make_one_line_each() {
    let mut other = examples::replied();
    other.mechanism = "netlink-broadcast".to_owned();
    other.context = "workqueue".to_owned();
    if let Some(replies) = &mut other.replies {
        replies.by = "netlink".to_owned();
        replies.account.delivered = 999;
        replies.account.lose(Loss::ReplyUnsent, 1);
    }
    let mut document = examples::document(examples::replied());
    document.results.push(other);
    let found = render(&document);
    for line in [
        "reply_to_device, µs                           min       p50       p90       p99       max  seen",
        "raise_to_device, µs                           min       p50       p90       p99       max  seen",
        "netlink            hardirq   write          70.00     70.50     70.90     70.99     71.00  1,000",
        "netlink-broadcast  workqueue netlink       296.00    296.50    296.90    296.99    297.00  999",
        "netlink-broadcast in workqueue, replies by netlink: made 1,000 = seen by the",
    ] {
        assert!(found.contains(line), "{found}");
    }
    for line in found.lines() {
        assert!(line.chars().count() <= 100, "too wide: {line}");
    }
}

#[test]
fn several_runs_make_one_line_each() {
    let mut slower = examples::wall();
    slower.mechanism = "netlink-broadcast".to_owned();
    slower.context = "workqueue".to_owned();
    slower.account.delivered = 999;
    slower.account.lose(Loss::SocketOverrun, 1);
    let mut document = examples::document(examples::wall());
    document.results.push(slower);
    let found = render(&document);
    for line in [
        "netlink             hardirq      150.90    156.39    160.79    161.78    161.89    1,000  all 1,000",
        "netlink-broadcast   workqueue    150.90    156.39    160.79    161.78    161.89    1,000  1 lost",
        "netlink-broadcast in workqueue: raised 1,000 = delivered 999",
        "account: raised 2,000 = delivered 1,999 + lost 1 (socket_overrun 1)",
    ] {
        assert!(found.contains(line), "{found}");
    }
    for line in found.lines() {
        assert!(line.chars().count() <= 100, "too wide: {line}");
    }
}

#[test]
fn with_a_run_that_no_driver_stamped_the_whole_way_is_compared() {
    let mut unstamped = examples::wall();
    unstamped.mechanism = "vfio".to_owned();
    let mut histograms = irqbed_results::stages::StageHistograms::new(Unit::Nanoseconds);
    histograms.record(&Sample {
        unstamped: Some(70_000),
        ..Sample::default()
    });
    unstamped.stages = (&histograms).into();
    let mut document = examples::document(examples::wall());
    document.results.push(unstamped);
    let found = render(&document);
    for line in [
        "raise_to_user, µs ",
        "netlink             hardirq      225.90 ",
        "vfio                hardirq       70.00 ",
    ] {
        assert!(found.contains(line), "{found}");
    }
}
