// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What there is to know of where a result is measured.

use std::{env, time::SystemTime};

use irqbed_machine::{
    accel::Choice,
    artefacts::Artefacts,
    guest_build::GuestBuild,
    host::{cores, cpu_field, memory_kib, qemu_version, read},
};
use irqbed_results::environment::Environment;

/// Gathers what there is to know; asks QEMU for its version.
#[must_use]
pub fn gather(artefacts: &Artefacts, guest_kernel: &str, choice: &Choice) -> Environment {
    let build = GuestBuild::of(artefacts);
    Environment {
        irqbed: env!("CARGO_PKG_VERSION").to_owned(),
        date: rfc3339(SystemTime::now()),
        command_line: env::args_os()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        qemu: qemu_version(&artefacts.qemu).unwrap_or_default(),
        guest_kernel: guest_kernel.to_owned(),
        guest_kernel_sha256: build.kernel_sha256,
        initramfs_sha256: build.initramfs_sha256,
        driver_compiler: build.driver_compiler,
        agent_compiler: build.agent_compiler,
        accelerator: choice.accelerator.to_string(),
        accelerator_reason: choice.reason.clone(),
        cpu: cpu_model(&read("/proc/cpuinfo"))
            .unwrap_or_default()
            .to_owned(),
        cores: cores(),
        memory_mib: memory_kib(&read("/proc/meminfo"), "MemTotal").unwrap_or(0) / 1024,
        host_kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
    }
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    cpu_field(cpuinfo, "model name")
}

/// A moment as `2026-02-03T04:05:06Z`; moments before 1970 are shown as 1970.
fn rfc3339(moment: SystemTime) -> String {
    let seconds = moment
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to a date in the proleptic Gregorian calendar, with years that
    // begin in March so that the leap day comes last (H. Hinnant, "chrono-
    // Compatible Low-Level Date Algorithms", civil_from_days).
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use irqbed_machine::accel::Accelerator;

    use super::*;

    #[test]
    fn moments_are_written_as_rfc_3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(
                rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
                text
            );
        }
    }

    #[test]
    fn the_processor_is_named_by_its_model() {
        let cpuinfo =
            "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC: a test\n\nprocessor\t: 1\n";
        assert_eq!(cpu_model(cpuinfo), Some("AMD EPYC: a test"));
        assert_eq!(cpu_model(""), None);
    }

    #[test]
    fn what_is_not_there_is_left_empty() {
        let choice = Choice {
            accelerator: Accelerator::Tcg,
            reason: "asked for".to_owned(),
        };
        let environment = gather(&Artefacts::below("/no/such".into()), "6.12.0", &choice);
        assert_eq!(
            (environment.qemu.as_str(), environment.guest_kernel.as_str()),
            ("", "6.12.0")
        );
        assert!(environment.cores >= 1);
        assert!(!environment.host_kernel.is_empty());
    }
}
