// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Says of `function+0x1f/0x40 [module]`, as the kernel writes it, in which file and line
//! of the module's sources that is, by the module's own debug information. A module is
//! relocatable: each of its sections gets an address of ours first.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use addr2line::Context;
use object::{Object, ObjectSymbol, SymbolKind};

use super::debug_info::{Addresses, Bytes};

/// The modules of a trial, by the names that the kernel has for them; `None` of one without
/// debug information.
#[derive(Default)]
pub(super) struct Symbols(HashMap<String, Option<ModuleSymbols>>);

/// A module and its sources.
struct ModuleSymbols {
    /// By name.
    functions: HashMap<String, Vec<Function>>,
    context: Context<Bytes>,
    /// Where its file lies, and so its sources.
    folder: PathBuf,
}

#[derive(Debug, Clone, Copy)]
struct Function {
    address: u64,
    size: u64,
}

/// A place in a module, as the kernel writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place<'a> {
    function: &'a str,
    offset: u64,
    size: u64,
    module: &'a str,
}

impl Symbols {
    /// Takes a module: its name, its file, and where that lies.
    pub(super) fn add(&mut self, name: &str, image: &[u8], folder: &Path) {
        let symbols = ModuleSymbols::of(image, folder)
            .inspect_err(|error| tracing::debug!("the lines of {name} are not known: {error}"));
        self.0.insert(name.to_owned(), symbols.ok());
    }

    /// A line of the kernel's, with file and line behind each place in a known module.
    pub(super) fn annotate(&self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let mut annotated = String::with_capacity(line.len());
        for (index, word) in words.iter().enumerate() {
            if index > 0 {
                annotated.push(' ');
            }
            annotated += word;
            let before = index.checked_sub(1).and_then(|before| words.get(before));
            let place = before.and_then(|before| Place::parse(before, word));
            if let Some(source) = place.and_then(|place| self.source(place, is_exact(line))) {
                annotated += &format!(" ({source})");
            }
        }
        annotated
    }

    /// The first place in a known module in a report: where it happened, else from where that
    /// was called; with its file and line.
    pub(super) fn place(&self, report: &[String]) -> Option<String> {
        let certain = || report.iter().filter(|line| !line.starts_with(" ? "));
        let at = certain().find_map(|line| self.place_in(line).filter(|_| line.contains("RIP:")));
        at.or_else(|| certain().find_map(|line| self.place_in(line)))
    }

    /// The first place in a known module in a line.
    pub(super) fn place_in(&self, line: &str) -> Option<String> {
        let words: Vec<&str> = line.split(' ').collect();
        words.windows(2).find_map(|pair| {
            let [word, next] = pair else { return None };
            let place = Place::parse(word, next)?;
            self.0.get(place.module)?;
            let word = word.rsplit(':').next()?;
            let source = self.source(place, is_exact(line));
            let source = source.map_or_else(String::new, |source| format!(" ({source})"));
            Some(format!("{word} [{}]{source}", place.module))
        })
    }

    fn source(&self, place: Place<'_>, exact: bool) -> Option<String> {
        self.0.get(place.module)?.as_ref()?.source(place, exact)
    }
}

/// Whether a place in this line is the instruction itself: in a stack it is the one behind
/// a call.
fn is_exact(line: &str) -> bool {
    line.contains("RIP:") || line.contains("WARNING: ")
}

impl<'a> Place<'a> {
    /// Two words that follow each other, `RIP: 0010:function+0x1f/0x40` and `[module]`.
    fn parse(word: &'a str, next: &'a str) -> Option<Self> {
        let module = next.strip_prefix('[')?;
        let module = module.split([']', '(']).next()?;
        let word = word.rsplit(':').next()?;
        let (function, rest) = word.split_once("+0x")?;
        let (offset, size) = rest.split_once("/0x")?;
        Some(Self {
            function,
            offset: u64::from_str_radix(offset, 16).ok()?,
            size: u64::from_str_radix(size, 16).ok()?,
            module,
        })
    }
}

impl ModuleSymbols {
    fn of(image: &[u8], folder: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let file = object::File::parse(image)?;
        let addresses = Addresses::of(&file);
        let mut functions: HashMap<String, Vec<Function>> = HashMap::new();
        for symbol in file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text)
        {
            if let (Ok(name), Some(address)) = (symbol.name(), addresses.symbol(&symbol)) {
                let size = symbol.size();
                let function = Function { address, size };
                functions.entry(name.to_owned()).or_default().push(function);
            }
        }
        let context = Context::from_dwarf(addresses.dwarf(&file)?)?;
        Ok(Self {
            functions,
            context,
            folder: folder.to_owned(),
        })
    }

    fn source(&self, place: Place<'_>, exact: bool) -> Option<String> {
        let functions = self.functions.get(place.function)?;
        // Padding, and what lies behind a function in its section, counts for the kernel.
        let fits = |function: &&Function| function.size <= place.size && place.offset <= place.size;
        let function = functions
            .iter()
            .filter(fits)
            .max_by_key(|function| function.size)?;
        let offset = match exact {
            true => place.offset,
            false => place.offset.saturating_sub(1),
        };
        let address = function.address.checked_add(offset)?;
        let mut frames = self.context.find_frames(address).skip_all_loads().ok()?;
        let mut lines = Vec::new();
        while let Ok(Some(frame)) = frames.next() {
            let location = frame.location.as_ref();
            let found = location.and_then(|location| Some((location.file?, location.line?)));
            lines.extend(found.map(|(file, line)| format!("{}:{line}", self.short(file))));
        }
        match &lines[..] {
            [] => None,
            [line] => Some(line.clone()),
            [line, .., last] => Some(format!("{line}, inlined at {last}")),
        }
    }

    /// A file as a person who knows the folder names it.
    fn short<'a>(&self, file: &'a str) -> &'a str {
        let inside = Path::new(file).strip_prefix(&self.folder).ok();
        let inside = inside.and_then(Path::to_str);
        let header = || file.split_once("/include/").map(|(_, header)| header);
        inside.or_else(header).unwrap_or(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_the_kernel_writes_it() {
        let place = Place::parse("0010:faulty_irq+0x1f/0x40", "[faulty]");
        let expected = Place {
            function: "faulty_irq",
            offset: 0x1f,
            size: 0x40,
            module: "faulty",
        };
        assert_eq!(place, Some(expected));
        assert_eq!(Place::parse("do_one_initcall+0x5b/0x320", "<"), None);
        assert_eq!(Place::parse("CPU:", "[faulty]"), None);
        assert_eq!(Place::parse("x+0xzz/0x1", "[faulty]"), None);
    }

    #[test]
    fn of_what_is_no_module_no_lines_are_known() {
        let mut symbols = Symbols::default();
        symbols.add("faulty", b"no ELF", Path::new("/x"));
        let line = " faulty_irq+0x1f/0x40 [faulty]";
        assert_eq!(symbols.annotate(line), line);
        assert_eq!(symbols.place_in(line).as_deref(), Some(line.trim()));
        assert_eq!(symbols.place_in(" f+0x1/0x2 [other]"), None);
    }
}
