// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How setup finds a version in an archive: a small one, made on the spot and
//! read by the system's own apt.

use std::{
    fmt::Write as _,
    fs,
    process::{Command, Output},
};

use crate::{sandbox::Sandbox, sources::copy_into};

/// An archive of suites.
struct Archive {
    sandbox: Sandbox,
}

impl Archive {
    /// With these versions of `some-tool` in each suite.
    fn new(suites: &[(&str, &[&str])]) -> Self {
        let suites: Vec<(&str, Vec<_>)> = suites
            .iter()
            .map(|(suite, versions)| (*suite, versions.iter().map(|v| ("some-tool", *v)).collect()))
            .collect();
        Self::of(&suites)
    }

    /// With these packages, name and version, in each suite.
    fn of(suites: &[(&str, Vec<(&str, &str)>)]) -> Self {
        let sandbox = Sandbox::new();
        for (suite, versions) in suites {
            let mut packages = String::new();
            for (name, version) in versions {
                writeln!(
                    packages,
                    "Package: {name}\nVersion: {version}\nArchitecture: amd64\n\
                     Maintainer: nobody\nFilename: pool/{name}_{version}_amd64.deb\n\
                     Size: 1\nSHA256: {:064}\nDescription: a tool\n",
                    0
                )
                .expect("a string takes all");
            }
            let folder = sandbox.own("archive").join("dists").join(suite);
            let lists = folder.join("main/binary-amd64");
            fs::create_dir_all(&lists).expect("a folder");
            fs::write(lists.join("Packages"), packages).expect("the list");
            let release = format!(
                "Suite: {suite}\nCodename: {suite}\nArchitectures: amd64\nComponents: main\n"
            );
            fs::write(folder.join("Release"), release).expect("the description");
        }
        copy_into(&["images"], &sandbox.own(""));
        Self { sandbox }
    }

    /// What `pinned tool some-tool VERSION` answers, in the suites of this archive.
    fn pinned(&self, version: &str, suites: &[&str]) -> Output {
        let suite = suites.last().expect("a suite");
        self.ask(&["pinned", "tool", "some-tool", version, suite], suites)
    }

    /// What a function of `images/apt.sh` answers, with these suites open.
    fn ask(&self, question: &[&str], suites: &[&str]) -> Output {
        let script = r#"
            set -euo pipefail
            images=$1 archive=$2 question=("${@:4:$3}") sources=()
            shift $((3 + $3))
            . "$images/lib.sh"
            . "$images/apt.sh"
            mkdir -p "$STORE/log"
            for suite; do
              sources+=("deb [arch=amd64 target=Packages trusted=yes] file://$archive $suite main")
            done
            apt_open test "${sources[@]}"
            "${question[@]}"
        "#;
        Command::new("bash")
            .args(["-c", script, "ask"])
            .arg(self.sandbox.own("images"))
            .arg(self.sandbox.own("archive"))
            .arg(question.len().to_string())
            .args(question)
            .args(suites)
            .env("TMPDIR", self.sandbox.tmp())
            .output()
            .expect("bash runs")
    }
}

#[track_caller]
fn assert_answers(output: &Output, version: &str, says: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        version,
        "{stderr}"
    );
    assert_eq!(stderr.trim(), says);
}

const OLD: &str = "1:1.2.0-1";
const NEW: &str = "1:1.3.0+ds-1~bpo13+1";

#[test]
fn a_version_that_the_archive_has_is_taken_even_if_it_is_not_the_newest() {
    let archive = Archive::new(&[("stable", &[OLD, NEW])]);
    assert_answers(&archive.pinned(OLD, &["stable"]), OLD, "");
    assert_answers(&archive.pinned(NEW, &["stable"]), NEW, "");
}

#[test]
fn the_newest_version_replaces_one_that_the_archive_lacks() {
    let archive = Archive::new(&[("stable", &[OLD, NEW])]);
    // A part of a version, or more than one, is another version.
    for gone in [
        "1:11.9.9+ds-1",
        "1:1.3.0+ds-1",
        "1:1.3.0+ds-1~bpo13+1+b1",
        "1.2.0-1",
    ] {
        let says = format!("setup: tool: the archive has moved on from {gone} to {NEW}");
        assert_answers(&archive.pinned(gone, &["stable"]), NEW, &says);
    }
}

#[test]
fn the_newest_version_is_that_of_the_suite() {
    let archive = Archive::new(&[("stable", &[OLD]), ("backports", &[NEW])]);
    let says = format!("setup: tool: the archive has moved on from 1:0.9 to {OLD}");
    assert_answers(
        &archive.pinned("1:0.9", &["backports", "stable"]),
        OLD,
        &says,
    );
    let says = format!("setup: tool: the archive has moved on from 1:0.9 to {NEW}");
    assert_answers(
        &archive.pinned("1:0.9", &["stable", "backports"]),
        NEW,
        &says,
    );
}

#[test]
fn an_archive_without_the_package_answers_nothing() {
    let archive = Archive::new(&[("stable", &[])]);
    assert_answers(&archive.pinned(OLD, &["stable"]), "", "");
}

#[test]
fn a_kernel_is_replaced_by_the_newest_of_its_series_and_flavour() {
    let packages = [
        "linux-headers-7.3.4+deb13-amd64",
        "linux-headers-7.3.4+deb13-rt-amd64",
        "linux-headers-7.3.9+deb13-amd64",
        "linux-headers-7.3.10+deb13-amd64",
        "linux-headers-7.3.11+deb13-rt-amd64",
        "linux-headers-7.3.12+deb13-common",
        "linux-headers-7.30.1+deb13-amd64",
        // Nothing can be built for one that is left without headers.
        "linux-image-7.3.13+deb13-amd64",
    ];
    let packages = packages.map(|name| (name, "1")).to_vec();
    let archive = Archive::of(&[("stable", packages)]);
    let kernel = |number, rest| {
        let question = ["pinned_kernel", "7.3.", number, rest];
        archive.ask(&question, &["stable"])
    };
    assert_answers(&kernel("4", "+deb13-amd64"), "7.3.4+deb13-amd64", "");
    for (rest, newest) in [
        ("+deb13-amd64", "7.3.10+deb13-amd64"),
        ("+deb13-rt-amd64", "7.3.11+deb13-rt-amd64"),
    ] {
        let says = format!("setup: kernel: the archive has moved on from 7.3.3{rest} to {newest}");
        assert_answers(&kernel("3", rest), newest, &says);
    }
    assert_answers(&kernel("4", "+deb13-cloud-amd64"), "", "");
}
