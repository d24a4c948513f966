// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How setup finds a version in an archive: a small one, made on the spot and
//! read by the system's own apt.

use std::{
    fmt::Write as _,
    fs,
    process::{Command, Output},
};

use crate::{sandbox::Sandbox, sources::repository};

/// An archive of two suites, with these versions of `some-tool` in each.
struct Archive {
    sandbox: Sandbox,
}

impl Archive {
    fn new(suites: &[(&str, &[&str])]) -> Self {
        let sandbox = Sandbox::new();
        for (suite, versions) in suites {
            let mut packages = String::new();
            for version in *versions {
                writeln!(
                    packages,
                    "Package: some-tool\nVersion: {version}\nArchitecture: amd64\n\
                     Maintainer: nobody\nFilename: pool/some-tool_{version}_amd64.deb\n\
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
        let copied = Command::new("cp")
            .arg("-R")
            .arg(repository().join("images"))
            .arg(sandbox.own("images"))
            .status();
        assert!(copied.expect("cp runs").success());
        Self { sandbox }
    }

    /// What `pinned tool some-tool VERSION` answers, in the suites of this archive.
    fn pinned(&self, version: &str, suites: &[&str]) -> Output {
        let script = r#"
            set -euo pipefail
            images=$1 archive=$2 version=$3 sources=()
            shift 3
            . "$images/lib.sh"
            . "$images/apt.sh"
            mkdir -p "$STORE/log"
            for suite; do
              sources+=("deb [arch=amd64 target=Packages trusted=yes] file://$archive $suite main")
            done
            apt_open test "${sources[@]}"
            pinned tool some-tool "$version" "${!#}"
        "#;
        Command::new("bash")
            .args(["-c", script, "pinned"])
            .arg(self.sandbox.own("images"))
            .arg(self.sandbox.own("archive"))
            .arg(version)
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
