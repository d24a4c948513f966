// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `action.yml`: what its steps do, run as a runner of GitHub runs them.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::Value;

use crate::{
    program::{Ended, Running},
    sandbox::Sandbox,
    sources::{copy, repository},
};

/// A job that uses the action.
struct Job<'a> {
    sandbox: &'a Sandbox,
    action: Value,
    inputs: BTreeMap<String, String>,
}

impl<'a> Job<'a> {
    fn new(sandbox: &'a Sandbox, with: &[(&str, &str)]) -> Self {
        let text = fs::read_to_string(repository().join("action.yml")).expect("it is there");
        let action: Value = serde_yaml_ng::from_str(&text).expect("it is YAML");
        let inputs = action["inputs"].as_object().expect("inputs").iter();
        let mut inputs: BTreeMap<_, _> = inputs
            .map(|(name, input)| {
                (
                    name.clone(),
                    input["default"].as_str().unwrap_or("").to_owned(),
                )
            })
            .collect();
        for (name, value) in with {
            assert!(
                inputs
                    .insert((*name).to_owned(), (*value).to_owned())
                    .is_some(),
                "{name}"
            );
        }
        Self {
            sandbox,
            action,
            inputs,
        }
    }

    /// What the runner puts in place of `${{ inputs.name }}`.
    fn filled(&self, text: &str) -> String {
        let filled = self
            .inputs
            .iter()
            .fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("${{{{ inputs.{name} }}}}"), value)
            });
        assert!(!filled.contains("${{"), "the test does not know {filled}");
        filled
    }

    /// What a step wrote into a file that the runner named.
    fn wrote(&self, file: &str) -> String {
        fs::read_to_string(self.sandbox.own(file)).unwrap_or_default()
    }

    fn run(&self, name: &str) -> Ended {
        let steps = self.action["runs"]["steps"].as_array().expect("steps");
        let step = steps.iter().find(|step| step["name"] == name).expect(name);
        assert_eq!(step["shell"], "bash", "{name}");
        let script = self.sandbox.own("step.sh");
        fs::write(&script, step["run"].as_str().expect("a script")).expect("a file");
        let mut command = Command::new("bash");
        command
            .args(["--noprofile", "--norc", "-eo", "pipefail"])
            .arg(&script)
            .current_dir(self.sandbox.own(""))
            .env("GITHUB_ACTION_PATH", repository())
            .env("TMPDIR", self.sandbox.tmp())
            .env("XDG_RUNTIME_DIR", self.sandbox.run());
        for (variable, file) in [
            ("GITHUB_OUTPUT", "output"),
            ("GITHUB_PATH", "path"),
            ("GITHUB_STEP_SUMMARY", "summary"),
        ] {
            command.env(variable, self.sandbox.own(file));
        }
        if let Some(variables) = step["env"].as_object() {
            for (name, value) in variables {
                command.env(name, self.filled(value.as_str().expect("text")));
            }
        }
        let program = Path::new(env!("CARGO_BIN_EXE_irqbed"))
            .parent()
            .expect("a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        // As the step that builds has it for those behind it.
        command.env("PATH", format!("{}:{path}", program.display()));
        Running::start(self.sandbox, command).wait()
    }
}

#[test]
fn the_steps_of_the_action_build_a_driver_test_it_and_say_how_it_went() {
    let sandbox = Sandbox::new();
    copy(&sandbox, "examples/scratch");
    let bad = "agent = 'bad.sh'\n[[device]]\nname = 'event'\n";
    fs::write(sandbox.own("bad.toml"), bad).expect("a file");
    fs::write(sandbox.own("bad.sh"), "#!/bin/sh\nexit 1\n").expect("a file");
    let job = Job::new(
        &sandbox,
        &[
            ("build", "scratch\n"),
            ("scenarios", "scratch/test.toml\nbad.toml\n"),
            ("coverage", "lines.info"),
        ],
    );

    let ended = job.run("See what will be fetched");
    assert!(ended.status.success(), "{ended:#?}");
    let store = repository().join(".irqbed");
    let output = job.wrote("output");
    assert!(
        output.starts_with(&format!("folder={}\nkey=", store.display())),
        "{output}"
    );

    let ended = job.run("Build the modules");
    assert!(ended.status.success(), "{ended:#?}");
    assert!(sandbox.own("scratch/scratch.ko").is_file(), "{ended:#?}");

    // One scenario passes, and one does not.
    let ended = job.run("Run the scenarios");
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    let verdicts = job.wrote("irqbed.xml");
    assert!(
        verdicts.contains("tests=\"2\" skipped=\"0\" failures=\"1\""),
        "{verdicts}"
    );
    let lines = job.wrote("lines.info");
    assert!(lines.contains("/scratch.c\n"), "{lines}");
    let summary = job.wrote("summary");
    assert!(
        summary.starts_with("```\n") && summary.ends_with("```\n"),
        "{summary}"
    );
    for verdict in [
        "irqbed: passed: the scratch register",
        "irqbed: failed: bad",
    ] {
        assert!(summary.contains(verdict), "{summary}");
        assert!(ended.stderr.contains(verdict), "{ended:#?}");
    }
    sandbox.assert_nothing_left();
}
