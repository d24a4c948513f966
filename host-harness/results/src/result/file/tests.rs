// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Documents on disk, in good order and in bad.

use std::os::unix::fs::symlink;

use super::*;
use crate::{
    result::{RunResult, examples},
    stages::Stage,
};

fn document() -> Document {
    examples::document(examples::wall())
}

fn target(path: &Path) -> JsonTarget {
    JsonTarget::File(path.to_owned())
}

/// Names of what lies in a folder.
fn contents(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn read_text(text: &str) -> Result<Document, ReadError> {
    Document::from_json(Path::new("some.json"), text.as_bytes())
}

#[test]
fn a_document_survives_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.json");
    document().write(&target(&path)).unwrap();
    assert_eq!(contents(folder.path()), ["result.json"]);
    assert_eq!(Document::read(&path).unwrap(), document());
}

#[test]
fn instructions_survive_too() {
    let document = examples::document(examples::instructions());
    let read = read_text(&document.to_json()).unwrap();
    assert_eq!(read, document);
    let stages = &read.results[0].stages;
    assert!(!stages.contains_key(&Stage::RaiseToUser));
    assert_eq!(stages[&Stage::IsrToUser].histogram().unwrap().max(), 66_159);
}

#[test]
fn a_new_file_is_as_readable_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.json");
    let other = folder.path().join("other");
    fs::write(&other, "").unwrap();
    document().write(&target(&path)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&other));
}

#[test]
fn asking_whether_a_path_can_be_written_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.json");
    target(&path).ensure_writable().unwrap();
    assert!(contents(folder.path()).is_empty());
    fs::write(&path, "former").unwrap();
    target(&path).ensure_writable().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "former");
    JsonTarget::Stdout.ensure_writable().unwrap();
}

#[test]
fn a_path_that_cannot_be_written_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no/such/folder/result.json");
    for (path, reason) in [
        (missing.as_path(), "there is no folder"),
        (folder.path(), "is a directory"),
        (
            Path::new("/proc/result.json"),
            "cannot write the results to /proc/result.json",
        ),
        (Path::new(""), "names no file"),
    ] {
        let error = target(path).ensure_writable().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(document().write(&target(path)).is_err());
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let error = document()
        .write(&target(Path::new("/dev/full")))
        .unwrap_err();
    assert_eq!(error.error.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_device_is_written_to_and_not_replaced() {
    let path = Path::new("/dev/null");
    target(path).ensure_writable().unwrap();
    document().write(&target(path)).unwrap();
    assert!(!fs::metadata(path).unwrap().is_file());
}

#[test]
fn a_link_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    fs::write(&file, "former").unwrap();
    symlink("file", &link).unwrap();
    document().write(&target(&link)).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(Document::read(&file).is_ok());
}

#[test]
fn a_dash_is_standard_output() {
    assert_eq!("-".parse(), Ok(JsonTarget::Stdout));
    assert_eq!("./-".parse(), Ok(target(Path::new("./-"))));
}

#[test]
fn a_document_cut_short_is_told_from_one_that_is_none() {
    let text = document().to_json();
    for end in [1, 40, text.len() / 2, text.len() - 3] {
        let error = read_text(&text[..end]).unwrap_err();
        assert!(
            matches!(error, ReadError::Truncated { .. }),
            "{end}: {error}"
        );
    }
    assert!(matches!(read_text(" \n"), Err(ReadError::Empty(_))));
    assert!(matches!(
        read_text("schema: irqbed/1"),
        Err(ReadError::NotJson { .. })
    ));
}

#[test]
fn json_of_somebody_else_is_foreign() {
    for text in [
        "{}",
        "[]",
        "1",
        r#"{"schema": 1}"#,
        r#"{"schema": "other/1"}"#,
    ] {
        let error = read_text(text).unwrap_err();
        assert!(
            matches!(error, ReadError::Foreign { .. }),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_newer_schema_is_named() {
    let error = read_text(r#"{"schema": "irqbed/2", "environment": 7}"#)
        .unwrap_err()
        .to_string();
    assert!(error.contains("some.json is of schema irqbed/2"), "{error}");
}

#[test]
fn what_a_later_irqbed_adds_is_ignored() {
    let mut json: serde_json::Value = serde_json::from_str(&document().to_json()).unwrap();
    json["results"][0]["weather"] = "fine".into();
    json["results"][0]["account"]["lost"] = serde_json::json!({});
    assert_eq!(read_text(&json.to_string()).unwrap(), document());
}

#[test]
fn a_document_that_contradicts_itself_is_refused() {
    let spoil = |change: fn(&mut serde_json::Value)| {
        let mut json: serde_json::Value = serde_json::from_str(&document().to_json()).unwrap();
        change(&mut json["results"][0]);
        read_text(&json.to_string()).unwrap_err().to_string()
    };
    let error = spoil(|run| run["stages"]["isr_to_user"]["p50"] = 1.into());
    assert!(error.contains("the percentiles of a stage fall"), "{error}");
    let error = spoil(|run| run["account"]["delivered"] = 7.into());
    assert!(error.contains("unexplained"), "{error}");
    let error = spoil(|run| run["clock"]["kind"] = "sundial".into());
    assert!(error.contains("sundial"), "{error}");
    let error = spoil(|run| run["stages"]["isr_to_user"]["unit"] = "instructions".into());
    assert!(error.contains("isr_to_user"), "{error}");
}

#[test]
fn a_result_without_problems_is_valid() {
    let valid: [fn() -> RunResult; 2] = [examples::wall, examples::instructions];
    for result in valid {
        assert!(result().problems().is_empty());
    }
}
