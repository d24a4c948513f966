// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Coverage as one page of HTML: a table of the files, and the sources with what was
//! executed.

use std::path::Path;

use irqbed_results::coverage::{Count, Coverage, FileCoverage};
use maud::{Markup, html};

use crate::page;

/// The page. `source` gives the text of a file, where it is still there.
#[must_use]
pub fn render(coverage: &Coverage, source: impl Fn(&Path) -> Option<String>) -> String {
    let files: Vec<_> = coverage.files().collect();
    let totals = coverage.totals();
    let body = html! {
        header {
            p.brand { "irqbed" span { " lines that the guest's processor executed" } }
            h1 { "Coverage" }
            p.lead { (totals) "." }
        }
        main #main {
            table.files {
                thead {
                    tr {
                        th scope="col" { "file" }
                        @for what in ["lines", "functions", "branches"] {
                            th.number scope="col" colspan="2" { (what) }
                        }
                    }
                }
                tbody {
                    @for (number, (path, file)) in files.iter().enumerate() {
                        tr {
                            th scope="row" { a href=(format!("#file{number}")) { (path.display()) } }
                            @let totals = file.totals();
                            @for count in [totals.lines, totals.functions, totals.branches] {
                                (cells(count))
                            }
                        }
                    }
                }
            }
            p.hint {
                "A line with code has a mark: " mark.run { "run" } ", " mark.missed { "not run" }
                ", or " mark.halved { "1/3" } ": it ran, and of its three conditional jumps one always "
                "went the same way."
            }
            @for (number, (path, file)) in files.iter().enumerate() {
                section #(format!("file{number}")) {
                    h2 { (path.display()) }
                    p.conditions { (file.totals()) }
                    @match source(path) {
                        Some(text) => (lines(file, &text)),
                        None => p.problem { "The file is not there any more." },
                    }
                }
            }
        }
    };
    page::frame("Coverage", &body)
}

fn cells(count: Count) -> Markup {
    html! {
        @match count.percent() {
            Some(percent) => {
                td.number { (percent) " %" }
                td.number { (count.executed) " / " (count.all) }
            }
            None => td colspan="2" {},
        }
    }
}

fn lines(file: &FileCoverage, text: &str) -> Markup {
    html! {
        table.source {
            tbody {
                @for (number, line) in (1..).zip(text.lines()) {
                    @let halved = file.one_sided(number);
                    @let (class, mark) = match file.executed(number) {
                        None => ("", String::new()),
                        Some(false) => ("missed", "not run".to_owned()),
                        Some(true) if halved.executed > 0 => ("halved", format!("{}/{}", halved.executed, halved.all)),
                        Some(true) => ("run", "run".to_owned()),
                    };
                    tr class=(class) {
                        td.number { (number) }
                        td.mark { (mark) }
                        td { code { (line) } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use irqbed_results::coverage::{Place, Ways};

    use super::*;

    #[test]
    fn each_line_says_whether_it_was_executed() {
        let mut coverage = Coverage::default();
        let file = coverage.file("/src/<card>.c".into());
        file.line(1, true);
        file.line(2, false);
        file.line(3, true);
        file.jump(
            Place {
                line: 3,
                module: "card".to_owned(),
                number: 8,
            },
            Ways {
                jumped: true,
                ..Ways::default()
            },
        );
        let page = render(&coverage, |_| Some("one\ntwo\nthree & <b>\n\n".to_owned()));
        for part in [
            "<tr class=\"run\"><td class=\"number\">1</td>",
            "<tr class=\"missed\"><td class=\"number\">2</td><td class=\"mark\">not run</td>",
            "<td class=\"mark\">1/1</td><td><code>three &amp; &lt;b&gt;</code>",
            "/src/&lt;card&gt;.c",
            "2 of 3 lines (66 %)",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let gone = render(&coverage, |_| None);
        assert!(gone.contains("not there any more"));
    }
}
