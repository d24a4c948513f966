// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reports as a browser shows them: Chromium without a window, by its DevTools
//! protocol over a pipe. `images/setup.sh chromium` fetches one where the system has
//! none; without it the tests say that they are skipped.

mod devtools;

use std::{fs, path::Path};

use serde_json::Value;

use crate::{program::run, report::baseline, sandbox::Sandbox};
use devtools::{Browser, Page};

/// Widths of a phone and of a desktop.
const PHONE: u32 = 360;
const DESKTOP: u32 = 1280;

/// A report, and a browser to look at it; `None` where there is none.
fn browser() -> Option<(Sandbox, Browser)> {
    let Some(program) = devtools::chromium() else {
        eprintln!("skipped: there is no chromium; `images/setup.sh chromium` fetches one");
        return None;
    };
    let sandbox = Sandbox::new();
    let browser = Browser::start(&program, &sandbox);
    Some((sandbox, browser))
}

fn report(sandbox: &Sandbox, results: &[&str]) -> String {
    let page = sandbox.own("page.html");
    let output = page.to_str().expect("a name");
    run(sandbox, &[&["report", "-o", output], results].concat()).assert_good();
    format!("file://{output}")
}

/// Two mechanisms, measured now.
fn measured(sandbox: &Sandbox) -> String {
    let result = sandbox.own("result.json");
    let result = result.to_str().expect("a name");
    let options = ["--mechanism", "netlink,eventfd", "--rounds", "2"];
    let bench = [
        "bench", "--accel", "tcg", "--events", "200", "--json", result,
    ];
    run(sandbox, &[&bench[..], &options].concat()).assert_measured();
    result.to_owned()
}

/// What must be true of a page however wide and however dark it is.
#[track_caller]
fn assert_readable(page: &mut Page<'_>) {
    let wide = page.number("document.documentElement.scrollWidth") - f64::from(page.width);
    assert!(wide <= 0.0, "the page is {wide} px wider than the screen");
    // What is folded may be too wide, too.
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)");
    let wide = page.number("document.documentElement.scrollWidth") - f64::from(page.width);
    assert!(wide <= 0.0, "unfolded it is {wide} px wider");
    let empty = "[...document.querySelectorAll('figure > svg, table')].filter(e => {
        const box = e.getBoundingClientRect();
        return box.width < 100 || box.height < 30;
    }).length";
    assert_eq!(page.number(empty), 0.0, "plots or tables of no size");
    // Words and what is behind them differ enough (WCAG 2.2, 1.4.3).
    let contrast = include_str!("browser/contrast.js");
    let poor = page.evaluate(contrast);
    assert_eq!(poor, Value::Array(Vec::new()), "poor contrast");
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn a_report_is_readable_on_a_phone_and_a_desktop_in_light_and_dark() {
    let Some((sandbox, mut browser)) = browser() else {
        return;
    };
    let result = measured(&sandbox);
    let address = report(&sandbox, &[&result]);
    let mut background = Vec::new();
    let mut drawn = Vec::new();
    for width in [PHONE, DESKTOP] {
        for scheme in ["light", "dark"] {
            let mut page = browser.page(width, scheme);
            page.open(&address);
            let style = "getComputedStyle(document.body).backgroundColor";
            background.push(page.evaluate(style));
            let line = "getComputedStyle(document.querySelector('figure path.ln')).stroke";
            drawn.push(page.evaluate(line));
            assert_eq!(
                page.number("document.querySelectorAll('figure').length"),
                6.0
            );
            assert_eq!(
                page.number("document.querySelectorAll('table').length"),
                5.0
            );
            assert_readable(&mut page);
            assert!(page.screenshot().len() > 10_000, "a picture of something");
        }
    }
    assert_ne!(background[0], background[1], "light and dark are alike");
    assert_ne!(drawn[0], drawn[1], "plots are alike in light and dark");
    assert_eq!(background[..2], background[2..]);
}

#[test]
fn every_pair_side_by_side_is_painted_at_once_and_fits_a_phone() {
    let Some((sandbox, mut browser)) = browser() else {
        return;
    };
    let address = report(&sandbox, &[&baseline(), &baseline()]);
    let mut page = browser.page(PHONE, "light");
    page.open(&address);
    let paint = page.first_paint();
    let bytes = fs::metadata(Path::new(&sandbox.own("page.html"))).map_or(0, |file| file.len());
    println!("{bytes} bytes, first contentful paint after {paint:.0} ms");
    assert_eq!(
        page.number("document.querySelectorAll('details.pair').length"),
        56.0
    );
    assert_readable(&mut page);
}

#[test]
fn a_keyboard_reaches_and_opens_everything() {
    let Some((sandbox, mut browser)) = browser() else {
        return;
    };
    let address = report(&sandbox, &[&baseline()]);
    let mut page = browser.page(DESKTOP, "light");
    page.open(&address);
    let focused = "document.activeElement.textContent.trim()";
    page.press("Tab");
    assert_eq!(page.evaluate(focused), "To the results");
    let visible = page.evaluate(
        "(() => { const b = document.activeElement.getBoundingClientRect();
                  return b.left >= 0 && b.top >= 0 && b.width > 0; })()",
    );
    assert_eq!(visible, true, "what has the focus is seen");
    let is_pair = "document.activeElement.matches('details.pair > summary')";
    for _ in 0..40 {
        page.press("Tab");
        let outline = "getComputedStyle(document.activeElement).outlineStyle";
        assert_eq!(
            page.evaluate(outline),
            "solid",
            "where the focus is is seen"
        );
        if page.evaluate(is_pair) == true {
            break;
        }
    }
    assert_eq!(page.evaluate(is_pair), true, "the pairs are reached");
    page.press("Enter");
    assert_eq!(
        page.evaluate("document.activeElement.parentElement.open"),
        true
    );
    // Within it, what can be scrolled has the focus in its turn.
    page.press("Tab");
    let role = page.evaluate("document.activeElement.getAttribute('role')");
    assert_eq!(role, "region");
}

#[test]
fn on_paper_everything_is_unfolded() {
    let Some((sandbox, mut browser)) = browser() else {
        return;
    };
    let address = report(&sandbox, &[&baseline()]);
    let mut page = browser.page(DESKTOP, "dark");
    page.open(&address);
    page.print();
    let hidden = "[...document.querySelectorAll('details.pair figure')]
        .filter(e => e.getBoundingClientRect().height < 100).length";
    assert_eq!(page.number(hidden), 0.0, "plots that are not printed");
    let background = page.evaluate("getComputedStyle(document.body).backgroundColor");
    assert_eq!(background, "rgb(255, 255, 255)");
}
