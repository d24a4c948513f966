// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The page as a whole, by its elements.

use std::collections::BTreeSet;

use irqbed_results::{
    account::Loss,
    result::{Clock, RunResult},
    units::Nanos,
};

use super::*;
use crate::examples;

/// Elements that have no end.
const VOID: [&str; 2] = ["meta", "link"];

fn source(name: &str, results: Vec<RunResult>) -> Source {
    let mut document = examples::document(examples::wall());
    document.results = results;
    Source {
        name: name.to_owned(),
        document,
    }
}

fn one(result: RunResult) -> String {
    render(&[source("result.json", vec![result])]).unwrap()
}

fn named(mechanism: &str, context: &str) -> RunResult {
    RunResult {
        mechanism: mechanism.to_owned(),
        context: context.to_owned(),
        ..examples::wall()
    }
}

/// Every tag, without its brackets.
fn tags(page: &str) -> impl Iterator<Item = &str> {
    let after_style = page.split_once("</style>").expect("a style sheet").1;
    after_style
        .split('<')
        .skip(1)
        .map(|rest| rest.split_once('>').expect("a tag has an end").0)
}

/// The values of an attribute.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let begin = format!(" {attribute}=\"");
    let value = |rest: &'a str| rest.split_once('"').expect("a value has an end").0;
    page.split(&*begin).skip(1).map(value).collect()
}

#[track_caller]
fn assert_sound(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>"));
    let mut open = vec!["head", "html"];
    open.reverse();
    for tag in tags(page) {
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        if let Some(ended) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(ended), "within {open:?}");
        } else if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    let ids = values(page, "id");
    let known: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(known.len(), ids.len(), "an id is given twice");
    for link in values(page, "href") {
        let inside = link.strip_prefix('#').is_some_and(|id| known.contains(id));
        assert!(inside || link == "data:,", "{link} leads out of the page");
    }
    for label in values(page, "aria-labelledby") {
        assert!(known.contains(label), "{label} names nothing");
    }
    assert_eq!(values(page, "src"), Vec::<&str>::new());
    for foreign in ["http:", "https:", "<script", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn every_pair_has_its_section_with_plots_figures_and_account() {
    let results = vec![
        named("netlink", "hardirq"),
        named("netlink", "bh"),
        named("uio", "hardirq"),
    ];
    let page = render(&[source("result.json", results)]).unwrap();
    assert_sound(&page);
    for id in [
        "pair-netlink-in-hardirq",
        "pair-netlink-in-bh",
        "pair-uio-in-hardirq",
    ] {
        let (_, section) = page.split_once(&format!("id=\"{id}\"")).expect(id);
        let section = section.split("<details class=\"pair\"").next().unwrap();
        assert_eq!(section.matches("<figure>").count(), 2, "{id}");
        assert!(section.contains("raised 1,000 = delivered 1,000 + lost 0"));
        assert!(section.contains("error bound 310 ns"), "{id}");
        assert!(section.contains("<td>150.90</td>"), "{id}: isr_to_user");
    }
    // What is drawn is said, too, and stands in a table.
    let drawings = page.matches("<svg role=\"img\"").count();
    let said = values(&page, "aria-label");
    assert!(said.iter().filter(|label| label.contains("median")).count() > 3);
    assert_eq!(drawings, 2 + 2 + 3 * 2, "overview, side by side, pairs");
    assert_eq!(page.matches("<table>").count(), 1 + 3 * 2);
    assert_eq!(page.matches("<caption>").count(), 1 + 3 * 2);
    assert!(page.contains("6.12.117+deb12-amd64 in QEMU 11.1.3"));
}

#[test]
fn instructions_are_shown_without_the_stages_of_the_host() {
    let page = one(examples::instructions());
    assert_sound(&page);
    assert!(page.contains("6,723 instructions"));
    assert!(!page.contains("<th scope=\"row\">raise_to_user"));
    assert!(page.contains("isr_to_user</strong> over the run, instructions"));
}

#[test]
fn replies_have_a_plot_of_their_own() {
    let page = one(examples::replied());
    assert_sound(&page);
    assert!(page.contains("Percentiles of the way back"));
    assert!(page.contains("made 1,000 = seen by the device 1,000 + lost 0"));
    assert!(page.contains("netlink in hardirq, replies by write"));
}

#[test]
fn what_must_not_be_believed_is_said_first() {
    let mut result = examples::wall();
    result.clock = Clock::wall(Nanos(5_000), Nanos(40), Nanos(1_000));
    result.account.delivered -= 3;
    result.account.lose(Loss::SocketFull, 2);
    let page = one(result);
    assert_sound(&page);
    let place = |words: &str| page.find(words).expect(words);
    let problem = place("the clock is not good enough");
    assert!(problem < place("Where the time goes"));
    assert!(page.contains("1 events unexplained"));
    assert!(page.contains("socket_full 2"));
    assert!(page.contains("✗ not valid"));
}

#[test]
fn each_round_has_its_account() {
    let mut second = examples::wall();
    second.account.delivered -= 1;
    second.account.lose(Loss::RingOverflow, 1);
    let page = render(&[source("result.json", vec![examples::wall(), second])]).unwrap();
    assert_sound(&page);
    assert!(page.contains("delivered all 1,000"));
    assert!(page.contains("delivered 999 of 1,000"));
}

#[test]
fn names_from_a_document_are_words_and_no_elements() {
    let page = one(named("<script>alert(1)</script>", "\"><img src=x>"));
    assert_sound(&page);
    assert!(page.contains("&lt;script&gt;alert(1)"));
}

#[test]
fn an_older_result_has_no_map_and_one_without_events_no_plot() {
    let mut old = examples::wall();
    old.timeline = None;
    let page = one(old);
    assert_sound(&page);
    assert!(!page.contains("over the run</figcaption>"));
    assert!(page.contains("no timeline"));
    let mut empty = examples::wall();
    empty.timeline = None;
    empty.stages = irqbed_results::result::Stages::default();
    let page = one(empty);
    assert_sound(&page);
    assert!(page.contains("No event arrived at any stage"));
}

#[test]
fn two_documents_are_judged_as_compare_does() {
    let base = source(
        "base.json",
        vec![examples::instructions(), named("uio", "bh")],
    );
    let mut slower = base.clone();
    slower.name = "new.json".to_owned();
    let mut stats = serde_json::to_value(&slower.document.results[0].stages).unwrap();
    for figure in ["p50", "p90", "p99", "p99_9"] {
        stats["isr_to_user"][figure] = 6_800.into();
    }
    slower.document.results[0].stages = serde_json::from_value(stats).unwrap();
    let page = render(&[base.clone(), slower.clone()]).unwrap();
    assert_sound(&page);
    assert!(page.contains("<tr class=\"worse\"><th scope=\"row\">netlink in hardirq</th>"));
    assert!(page.contains("+1.15 %"));
    assert!(page.contains("wall time needs 5 rounds"));
    assert!(page.contains("isr_to_user</strong>, document by document, instructions"));
    // More than two: each against the first.
    let page = render(&[base.clone(), slower, base]).unwrap();
    assert_sound(&page);
    assert_eq!(page.matches("<h3>From ").count(), 2);
}

#[test]
fn time_and_instructions_of_one_pair_share_no_plot() {
    let page = render(&[
        source("time.json", vec![examples::wall()]),
        source("path.json", vec![examples::instructions()]),
    ])
    .unwrap();
    assert_sound(&page);
    assert!(page.contains("cannot be drawn in one plot"));
    assert!(page.contains("one side counts time, the other instructions"));
}

#[test]
fn what_cannot_be_drawn_is_named() {
    let refused = |result: serde_json::Value| {
        let result: RunResult = serde_json::from_value(result).unwrap();
        render(&[source("result.json", vec![result])])
            .unwrap_err()
            .to_string()
    };
    let mut result = serde_json::to_value(examples::wall()).unwrap();
    result["stages"]["raise_to_user"]["histogram"] = "".into();
    assert!(refused(result).starts_with("result.json: netlink in hardirq: raise_to_user: "));
    let mut result = serde_json::to_value(examples::wall()).unwrap();
    result["timeline"]["slices"][7] = "HISTFAAA".into();
    assert!(refused(result).starts_with("result.json: netlink in hardirq: the timeline: "));
    let empty = render(&[source("result.json", Vec::new())]).unwrap_err();
    assert_eq!(
        empty.to_string(),
        "result.json has no results: measure again"
    );
}

#[test]
fn a_page_of_every_pair_can_be_sent_by_mail() {
    let mechanisms = 0..14;
    let results = mechanisms.flat_map(|number| {
        let contexts = ["hardirq", "threaded", "bh", "workqueue"].into_iter();
        contexts.map(move |context| named(&format!("mechanism-{number}"), context))
    });
    let page = render(&[source("result.json", results.collect())]).unwrap();
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
}
