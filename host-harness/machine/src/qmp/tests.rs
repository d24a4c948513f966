// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The client against lines as QEMU 11.1.3 sends them.

use std::io::{BufRead, BufReader};

use super::*;

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 3, "minor": 1, "major": 11}, "package": ""}, "capabilities": ["oob"]}}"#;
const DONE: &str = r#"{"return": {}, "id": 0}"#;
const DELETED: &str = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "DEVICE_DELETED", "data": {"device": "card", "path": "/machine/peripheral/card"}}"#;

/// A channel on which QEMU has said these lines already.
fn channel(lines: &[&str]) -> (Qmp, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
    for line in [GREETING, DONE].iter().chain(lines) {
        theirs
            .write_all(format!("{line}\r\n").as_bytes())
            .expect("room for a line");
    }
    (Qmp::new(ours).expect("a greeting"), theirs)
}

fn is_deleted(event: &Event) -> bool {
    event.is_of("DEVICE_DELETED", "card")
}

#[test]
fn a_command_gets_its_own_answer_and_not_a_late_one() {
    let (mut qmp, theirs) = channel(&[
        r#"{"return": "late", "id": 0}"#,
        r#"{"return": {"running": true}, "id": 1}"#,
    ]);
    let answer = qmp.execute("device_del", json!({ "id": "card" }));
    assert_eq!(answer.expect("an answer"), json!({ "running": true }));
    let mut sent = BufReader::new(theirs).lines();
    let mut line = || -> Value {
        let line = sent.next().expect("a line").expect("text");
        serde_json::from_str(&line).expect("JSON")
    };
    assert_eq!(line()["execute"], "qmp_capabilities");
    assert_eq!(
        line(),
        json!({ "execute": "device_del", "arguments": { "id": "card" }, "id": 1 })
    );
}

#[test]
fn a_refusal_has_the_command_and_the_words_of_qemu() {
    for id in [r#", "id": 1"#, ""] {
        let (mut qmp, _theirs) = channel(&[&format!(
            r#"{{"error": {{"class": "DeviceNotFound", "desc": "Device 'card' not found"}}{id}}}"#
        )]);
        let error = qmp.execute("device_del", json!({ "id": "card" }));
        assert_eq!(
            error.expect_err("refused").to_string(),
            "QEMU refuses device_del: Device 'card' not found"
        );
    }
}

#[test]
fn an_event_is_found_whenever_it_came_and_only_once() {
    let answer = r#"{"return": {}, "id": 1}"#;
    let (mut qmp, _theirs) = channel(&[DELETED, answer]);
    qmp.execute("device_del", json!({ "id": "card" }))
        .expect("carried out");
    let event = qmp.wait_for("the event", ANSWER_LIMIT, is_deleted);
    assert_eq!(event.expect("it came").name, "DEVICE_DELETED");
    let silence = Duration::from_millis(60);
    let error = qmp.wait_for("the event", silence, is_deleted);
    assert!(matches!(error, Err(QmpError::Silent { .. })), "{error:?}");
}

#[test]
fn a_qemu_that_has_ended_is_told_from_one_that_hangs() {
    let (mut qmp, theirs) = channel(&[]);
    drop(theirs);
    let sent = qmp.execute("query-status", json!({}));
    assert!(matches!(sent, Err(QmpError::Closed)), "{sent:?}");
    let (mut qmp, theirs) = channel(&[]);
    theirs
        .shutdown(std::net::Shutdown::Write)
        .expect("it is open");
    let waited = qmp.wait_for("an event", ANSWER_LIMIT, is_deleted);
    assert!(matches!(waited, Err(QmpError::Closed)), "{waited:?}");
    let (ours, _) = UnixStream::pair().expect("a socket pair");
    assert!(matches!(Qmp::new(ours), Err(QmpError::Closed)));
}

#[test]
fn a_message_of_no_meaning_is_shown() {
    let (mut qmp, _theirs) = channel(&["oops"]);
    let error = qmp.execute("query-status", json!({}));
    assert!(
        matches!(&error, Err(QmpError::Garbled { line, .. }) if line == "oops\r\n"),
        "{error:?}"
    );
}
