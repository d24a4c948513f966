// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How results are shown: as a table on a terminal ([`table`]), or as one page of HTML that needs
//! nothing else: no script, no network, no other file. plotters draws, a style sheet colours for
//! light, dark and paper, and beside each plot its figures stand in a table. [`coverage`] shows
//! sources by what of them was executed.

#![warn(clippy::print_stderr, clippy::print_stdout)]

mod changes;
pub mod coverage;
#[cfg(test)]
#[path = "../../results/src/result/examples.rs"]
mod examples;
mod frame;
mod heat;
mod overview;
mod page;
mod percentiles;
mod scale;
mod section;
mod side_by_side;
mod stacked;
mod svg;
pub mod table;
mod terminal;
#[cfg(test)]
mod tests;
mod view;

use irqbed_results::result::{Document, HistogramError};

/// Documents that a report takes: more cannot be told apart in a plot.
pub const MOST: usize = svg::Role::DOCUMENTS;

/// A document, and how the report calls it.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name, as the user knows it.
    pub name: String,
    /// What it holds.
    pub document: Document,
}

/// There is nothing that could be shown.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A histogram that cannot be drawn.
    #[error("{document}: {pair}: {what}: {error}; measure again")]
    Histogram {
        /// The document.
        document: String,
        /// What was measured.
        pair: String,
        /// Which of its histograms.
        what: String,
        /// Why not.
        #[source]
        error: HistogramError,
    },
    /// A document without results.
    #[error("{document} has no results: measure again")]
    Empty {
        /// The document.
        document: String,
    },
}

/// The report on one document, or on up to [`MOST`] side by side.
///
/// # Errors
/// [`ReportError`] names the document and what in it cannot be shown.
pub fn render(sources: &[Source]) -> Result<String, ReportError> {
    if let Some(empty) = sources
        .iter()
        .find(|source| source.document.results.is_empty())
    {
        return Err(ReportError::Empty {
            document: empty.name.clone(),
        });
    }
    let pairs = view::pairs(sources)?;
    Ok(page::page(sources, &pairs))
}
