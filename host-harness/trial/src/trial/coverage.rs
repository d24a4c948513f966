// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which lines of the modules of a trial were executed: QEMU's plugin marks addresses, the
//! guest says where it has put each section, and the module's own debug information says of
//! which line an instruction is.

mod code;

use std::{collections::BTreeMap, io, ops::Range};

use irqbed_abi::coverage::{FELL_THROUGH, JUMPED};
use irqbed_machine::{
    coverage_map::CoverageMap,
    session::{Guest, SessionError},
};
use irqbed_results::coverage::{Coverage, Place, Ways};

use crate::scenario::Scenario;
use code::Code;

/// Prints a section of code and its address a line; nothing of a module that is not there.
const SECTIONS: &str = r#"
cd "/sys/module/$1/sections" 2>/dev/null || exit 0
for section in .*text*; do echo "$section $(cat "$section")"; done"#;
/// Sections whose memory the kernel gives back when the module's start is over.
const INIT: &str = ".init";

/// The modules of a trial, and what of them was executed.
#[derive(Debug)]
pub(super) struct Covered {
    map: CoverageMap,
    modules: Vec<Module>,
}

#[derive(Debug)]
struct Module {
    name: String,
    /// `Err` why it is not known.
    code: Result<Code, String>,
    /// Where the guest has put sections, by name, as far as it was asked.
    sections: BTreeMap<String, u64>,
    /// The marks, by the addresses of [`Code`].
    marks: BTreeMap<u64, u8>,
}

impl Covered {
    pub(super) fn new(scenario: &Scenario) -> io::Result<Self> {
        let modules = scenario.modules.iter().map(|module| {
            let code = Code::of(scenario.image(module));
            Module {
                name: module.name.clone(),
                code: code.map_err(|error| error.to_string()),
                sections: BTreeMap::new(),
                marks: BTreeMap::new(),
            }
        });
        Ok(Self {
            map: CoverageMap::new()?,
            modules: modules.collect(),
        })
    }

    pub(super) fn map(&self) -> &CoverageMap {
        &self.map
    }

    /// A module was loaded: what it executed at its start is taken before other code may be
    /// there.
    pub(super) fn was_loaded(&mut self, name: &str, guest: &mut Guest) -> Result<(), SessionError> {
        for module in self.modules.iter_mut().filter(|module| module.name == name) {
            module.locate(guest)?;
            module.take(&self.map, |section| section.starts_with(INIT))?;
        }
        Ok(())
    }

    /// The modules are there for the last time. The program may have loaded them anew since.
    pub(super) fn locate(&mut self, guest: &mut Guest) -> Result<(), SessionError> {
        for module in &mut self.modules {
            module.take(&self.map, |_| true)?;
            module.locate(guest)?;
        }
        Ok(())
    }

    /// What was executed until now, and what is to be said of it.
    pub(super) fn finish(mut self) -> io::Result<(Coverage, Vec<String>)> {
        let mut coverage = Coverage::default();
        let mut notes = Vec::new();
        for module in &mut self.modules {
            module.take(&self.map, |_| true)?;
            match &module.code {
                Ok(code) => module.add(code, &mut coverage),
                Err(why) => notes.push(format!("no coverage of {}: {why}", module.name)),
            }
            if module.code.is_ok() && module.sections.is_empty() {
                notes.push(format!(
                    "no line of {} counts as executed: it was not loaded, or its start failed",
                    module.name
                ));
            }
        }
        Ok((coverage, notes))
    }
}

impl Module {
    /// Asks the guest where it is.
    fn locate(&mut self, guest: &mut Guest) -> Result<(), SessionError> {
        if self.code.is_err() {
            return Ok(());
        }
        let (_, sections, _) = guest.run(&["sh", "-c", SECTIONS, "sh", &self.name])?;
        self.sections.extend(sections.lines().filter_map(section));
        Ok(())
    }

    /// Takes the marks of sections.
    fn take(&mut self, map: &CoverageMap, which: impl Fn(&str) -> bool) -> io::Result<()> {
        let Ok(code) = &self.code else { return Ok(()) };
        for section in code.sections.iter().filter(|section| which(&section.name)) {
            let Some(&at) = self.sections.get(&section.name) else {
                continue;
            };
            let marks = map.take(&(at..at.saturating_add(section.size)))?;
            for (address, mark) in (section.address..)
                .zip(marks)
                .filter(|(_, mark)| *mark != 0)
            {
                *self.marks.entry(address).or_default() |= mark;
            }
        }
        Ok(())
    }

    fn executed(&self, addresses: &Range<u64>) -> bool {
        !addresses.is_empty() && self.marks.range(addresses.clone()).next().is_some()
    }

    /// Adds lines, functions and jumps.
    fn add(&self, code: &Code, coverage: &mut Coverage) {
        for row in code.rows.iter().filter(|row| row.is_statement) {
            let file = coverage.file(row.file.to_path_buf());
            file.line(row.line, self.executed(&row.addresses));
        }
        for function in &code.functions {
            let executed = function.code.iter().any(|range| self.executed(range));
            let file = coverage.file(function.file.to_path_buf());
            file.function(&function.name, function.line, executed);
        }
        for (&address, &mark) in &self.marks {
            let ways = Ways {
                fell_through: mark & FELL_THROUGH != 0,
                jumped: mark & JUMPED != 0,
            };
            let row = (ways != Ways::default()).then(|| code.row_at(address));
            let Some(row) = row.flatten() else { continue };
            let file = coverage.file(row.file.to_path_buf());
            // Where a line has no statement, the jump is the compiler's own, as the one behind
            // which a function finds its stack destroyed.
            if file.executed(row.line).is_some() {
                let place = Place {
                    line: row.line,
                    module: self.name.clone(),
                    number: address,
                };
                file.jump(place, ways);
            }
        }
    }
}

/// A line that the guest has printed.
fn section(line: &str) -> Option<(String, u64)> {
    let (name, address) = line.split_once(" 0x")?;
    let address = u64::from_str_radix(address, 16).ok()?;
    Some((name.to_owned(), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_read_as_the_kernel_writes_it() {
        let read = section(".init.text 0xffffffffc0201000");
        assert_eq!(read, Some((".init.text".to_owned(), 0xffff_ffff_c020_1000)));
        assert_eq!(section(".*text* "), None);
    }
}
