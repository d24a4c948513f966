// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which lines, functions and branches of sources were executed, as lcov has it (geninfo(1)).

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    path::{Path, PathBuf},
};

/// What of some sources was executed. Of the same sources several can be [added](Self::add).
///
/// # Example
/// ```
/// use irqbed_results::coverage::{Coverage, Totals};
///
/// let mut coverage = Coverage::default();
/// let file = coverage.file("/src/card.c".into());
/// file.line(10, true);
/// file.line(11, false);
/// file.function("card_probe", 9, true);
/// assert_eq!(coverage.totals().to_string(), "1 of 2 lines (50 %), 1 of 1 functions (100 %)");
/// assert!(coverage.lcov().contains("DA:11,0\n"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<PathBuf, FileCoverage>);

/// The same of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileCoverage {
    /// The lines that have code, and whether any of it was executed.
    lines: BTreeMap<u32, bool>,
    /// Name and first line of each function, and whether any of it was executed, inlined or
    /// not.
    functions: BTreeMap<(u32, String), bool>,
    /// The conditional jumps.
    jumps: BTreeMap<Place, Ways>,
}

/// A conditional jump in the code of a line. A line has several where its condition does, and
/// where its function is inlined.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The module that the code is in.
    pub module: String,
    /// Something that tells the jumps of a module from each other, and is the same in each run.
    pub number: u64,
}

/// Which ways a conditional jump went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ways {
    /// To the next instruction.
    pub fell_through: bool,
    /// To its target.
    pub jumped: bool,
}

/// How many there are of something, and how many were executed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Executed.
    pub executed: usize,
    /// All.
    pub all: usize,
}

/// The counts of a file, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Lines.
    pub lines: Count,
    /// Functions.
    pub functions: Count,
    /// Ways of conditional jumps that were executed at all.
    pub branches: Count,
}

impl Coverage {
    /// The coverage of a file, to be filled.
    pub fn file(&mut self, path: PathBuf) -> &mut FileCoverage {
        self.0.entry(path).or_default()
    }

    /// The files, by path.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &FileCoverage)> {
        self.0.iter().map(|(path, file)| (path.as_path(), file))
    }

    /// Adds what another run executed.
    pub fn add(&mut self, other: &Self) {
        for (path, from) in &other.0 {
            let to = self.file(path.clone());
            for (&line, &executed) in &from.lines {
                to.line(line, executed);
            }
            for ((line, name), &executed) in &from.functions {
                to.function(name, *line, executed);
            }
            for (place, &ways) in &from.jumps {
                to.jump(place.clone(), ways);
            }
        }
    }

    /// The counts over all files.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for file in self.0.values() {
            let of = file.totals();
            for (sum, count) in [
                (&mut totals.lines, of.lines),
                (&mut totals.functions, of.functions),
                (&mut totals.branches, of.branches),
            ] {
                sum.executed += count.executed;
                sum.all += count.all;
            }
        }
        totals
    }

    /// As a trace file of lcov. What was executed is counted as once.
    #[must_use]
    pub fn lcov(&self) -> String {
        let mut text = String::new();
        for (path, file) in &self.0 {
            // A string takes everything.
            let _ = file.write_lcov(path, &mut text);
        }
        text
    }
}

impl FileCoverage {
    /// Adds code of a line.
    pub fn line(&mut self, line: u32, executed: bool) {
        *self.lines.entry(line).or_default() |= executed;
    }

    /// Adds code of a function.
    pub fn function(&mut self, name: &str, line: u32, executed: bool) {
        *self.functions.entry((line, name.to_owned())).or_default() |= executed;
    }

    /// Adds a conditional jump that was executed.
    pub fn jump(&mut self, place: Place, ways: Ways) {
        let known = self.jumps.entry(place).or_default();
        known.fell_through |= ways.fell_through;
        known.jumped |= ways.jumped;
    }

    /// The lines that have code, and whether it was executed.
    pub fn lines(&self) -> impl Iterator<Item = (u32, bool)> {
        self.lines.iter().map(|(&line, &executed)| (line, executed))
    }

    /// Whether the code of a line was executed; `None` where it has none.
    #[must_use]
    pub fn executed(&self, line: u32) -> Option<bool> {
        self.lines.get(&line).copied()
    }

    /// The functions: first line, name, whether any of it was executed.
    pub fn functions(&self) -> impl Iterator<Item = (u32, &str, bool)> {
        let functions = self.functions.iter();
        functions.map(|((line, name), &executed)| (*line, name.as_str(), executed))
    }

    /// The conditional jumps of a line that always went the same way, of how many.
    #[must_use]
    pub fn one_sided(&self, line: u32) -> Count {
        let first = Place {
            line,
            module: String::new(),
            number: 0,
        };
        let from_line = self.jumps.range(first..);
        let of_line = from_line.take_while(|(place, _)| place.line == line);
        of_line.fold(Count::default(), |count, (_, ways)| Count {
            executed: count.executed + usize::from(!(ways.fell_through && ways.jumped)),
            all: count.all + 1,
        })
    }

    /// The counts.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let ways = self.jumps.values();
        Totals {
            lines: Count::of(self.lines.values().copied()),
            functions: Count::of(self.functions.values().copied()),
            branches: Count::of(ways.flat_map(|ways| [ways.fell_through, ways.jumped])),
        }
    }

    fn write_lcov(&self, path: &Path, text: &mut String) -> fmt::Result {
        let Totals {
            lines,
            functions,
            branches,
        } = self.totals();
        writeln!(text, "TN:\nSF:{}", path.display())?;
        for (line, name, _) in self.functions() {
            writeln!(text, "FN:{line},{name}")?;
        }
        for (_, name, executed) in self.functions() {
            writeln!(text, "FNDA:{},{name}", u8::from(executed))?;
        }
        writeln!(text, "FNF:{}\nFNH:{}", functions.all, functions.executed)?;
        let (mut before, mut block) = (0, 0);
        for (place, ways) in &self.jumps {
            block = if place.line == before { block + 1 } else { 0 };
            before = place.line;
            for (branch, way) in [ways.fell_through, ways.jumped].into_iter().enumerate() {
                let taken = u8::from(way);
                writeln!(text, "BRDA:{},{block},{branch},{taken}", place.line)?;
            }
        }
        writeln!(text, "BRF:{}\nBRH:{}", branches.all, branches.executed)?;
        for (line, executed) in self.lines() {
            writeln!(text, "DA:{line},{}", u8::from(executed))?;
        }
        writeln!(text, "LF:{}\nLH:{}", lines.all, lines.executed)?;
        writeln!(text, "end_of_record")
    }
}

impl Count {
    fn of(all: impl Iterator<Item = bool>) -> Self {
        all.fold(Self::default(), |count, executed| Self {
            executed: count.executed + usize::from(executed),
            all: count.all + 1,
        })
    }

    /// Percent that were executed, rounded down: 100 means all; `None` of none.
    #[must_use]
    pub fn percent(self) -> Option<usize> {
        (self.executed * 100).checked_div(self.all)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.executed, self.all)
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "";
        for (count, what) in [
            (self.lines, "lines"),
            (self.functions, "functions"),
            (self.branches, "branches"),
        ] {
            if let Some(percent) = count.percent() {
                write!(f, "{before}{count} {what} ({percent} %)")?;
                before = ", ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: u32, number: u64) -> Place {
        Place {
            line,
            module: "card".to_owned(),
            number,
        }
    }

    fn ways(fell_through: bool, jumped: bool) -> Ways {
        Ways {
            fell_through,
            jumped,
        }
    }

    #[test]
    fn what_either_run_executed_is_executed() {
        let mut first = Coverage::default();
        let file = first.file("/a.c".into());
        file.line(1, true);
        file.line(2, false);
        file.function("f", 1, false);
        file.jump(place(1, 8), ways(true, false));
        let mut second = Coverage::default();
        let file = second.file("/a.c".into());
        file.line(1, false);
        file.line(2, true);
        file.function("f", 1, true);
        file.jump(place(1, 8), ways(false, true));
        file.jump(place(1, 9), ways(false, true));
        first.add(&second);
        assert_eq!(
            first.totals().to_string(),
            "2 of 2 lines (100 %), 1 of 1 functions (100 %), 3 of 4 branches (75 %)"
        );
        let (_, file) = first.files().next().expect("a file");
        assert_eq!(
            file.one_sided(1),
            Count {
                executed: 1,
                all: 2
            }
        );
    }

    #[test]
    fn a_trace_file_is_as_lcov_reads_it() {
        let mut coverage = Coverage::default();
        let file = coverage.file("/src/card.c".into());
        file.function("card_probe", 9, true);
        file.line(10, true);
        file.line(12, false);
        file.jump(place(10, 0x40), ways(true, false));
        file.jump(place(10, 0x48), ways(true, true));
        assert_eq!(
            coverage.lcov(),
            "TN:\nSF:/src/card.c\nFN:9,card_probe\nFNDA:1,card_probe\nFNF:1\nFNH:1\n\
             BRDA:10,0,0,1\nBRDA:10,0,1,0\nBRDA:10,1,0,1\nBRDA:10,1,1,1\nBRF:4\nBRH:3\n\
             DA:10,1\nDA:12,0\nLF:2\nLH:1\nend_of_record\n"
        );
    }
}
