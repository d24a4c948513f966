// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The code of a module, as its debug information has it: which line each instruction is of,
//! and which instructions each function has, inlined ones too.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
    path::{Component, Path, PathBuf},
    rc::Rc,
};

use gimli::{
    AttributeValue, DW_AT_abstract_origin, DW_AT_decl_file, DW_AT_decl_line, DW_AT_name,
    DW_TAG_inlined_subroutine, DW_TAG_subprogram, DebuggingInformationEntry, Dwarf, FileEntry,
    LineProgramHeader, LineRow, UnitOffset, UnitRef,
};
use object::{Object, ObjectSection};

use super::super::debug_info::{Addresses, Bytes};

/// Why the lines of a module are not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodeError {
    #[error("it has no debug information: build it by `irqbed build`, or with -g")]
    NoDebugInfo,
    #[error("it is no module that can be read: {0}")]
    Object(#[from] object::Error),
    #[error("its debug information cannot be read: {0}")]
    Dwarf(#[from] gimli::Error),
}

/// The code of a module.
#[derive(Debug, Default)]
pub(super) struct Code {
    pub(super) sections: Vec<Section>,
    /// By address.
    pub(super) rows: Vec<Row>,
    pub(super) functions: Vec<Function>,
}

/// A section of code.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: String,
    /// The one that we give it.
    pub(super) address: u64,
    pub(super) size: u64,
}

/// Instructions of a line.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) addresses: Range<u64>,
    pub(super) file: Rc<Path>,
    pub(super) line: u32,
    /// Whether the line begins here; else it is code of it that was moved.
    pub(super) is_statement: bool,
}

/// A function, or one of the places where it was inlined.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) file: Rc<Path>,
    pub(super) line: u32,
    pub(super) code: Vec<Range<u64>>,
    is_inlined: bool,
}

impl Code {
    /// Reads a module's file.
    pub(super) fn of(image: &[u8]) -> Result<Self, CodeError> {
        if image.is_empty() {
            // One that the guest has already.
            return Err(CodeError::NoDebugInfo);
        }
        let file = object::File::parse(image)?;
        let addresses = Addresses::of(&file);
        let mut code = Self::default();
        for section in file.sections() {
            if let Some(address) = addresses.section(section.index()) {
                code.sections.push(Section {
                    name: section.name()?.to_owned(),
                    address,
                    size: section.size(),
                });
            }
        }
        code.read(&addresses.dwarf(&file)?)?;
        if code.rows.is_empty() {
            return Err(CodeError::NoDebugInfo);
        }
        Ok(code)
    }

    /// The line that an instruction is of.
    pub(super) fn row_at(&self, address: u64) -> Option<&Row> {
        let behind = self
            .rows
            .partition_point(|row| row.addresses.start <= address);
        let row = self.rows.get(behind.checked_sub(1)?)?;
        row.addresses.contains(&address).then_some(row)
    }

    fn read(&mut self, dwarf: &Dwarf<Bytes>) -> Result<(), CodeError> {
        let mut own = BTreeSet::new();
        let mut headers = dwarf.units();
        while let Some(header) = headers.next()? {
            let unit = dwarf.unit(header)?;
            let mut reader = UnitReader {
                unit: unit.unit_ref(dwarf),
                files: HashMap::new(),
            };
            own.extend(reader.folder()?);
            reader.rows(&mut self.rows)?;
            reader.functions(&mut self.functions)?;
        }
        let is_own =
            |file: &Path| own.iter().any(|folder| file.starts_with(folder)) && !is_generated(file);
        // Before a function there is room for the kernel's tracers, which nothing executes.
        let whole = self
            .functions
            .iter()
            .filter(|function| !function.is_inlined);
        let ranges = whole.flat_map(|function| &function.code);
        let ends: BTreeMap<u64, u64> = ranges.map(|code| (code.start, code.end)).collect();
        let is_inside = |address: u64| {
            let function = ends.range(..=address).next_back();
            function.is_some_and(|(_, &end)| address < end)
        };
        // Headers of the kernel are nobody's sources here.
        self.rows
            .retain(|row| is_own(&row.file) && is_inside(row.addresses.start));
        self.functions.retain(|function| is_own(&function.file));
        self.rows.sort_by_key(|row| row.addresses.start);
        Ok(())
    }
}

/// What the kernel's makefiles add to each module.
fn is_generated(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".mod.c") || name.starts_with(".module-common")
}

/// A source and what was compiled with it.
struct UnitReader<'a> {
    unit: UnitRef<'a, Bytes>,
    /// The paths of its files, by number.
    files: HashMap<u64, Rc<Path>>,
}

impl UnitReader<'_> {
    /// The folder that the source lies in.
    fn folder(&self) -> Result<Option<PathBuf>, gimli::Error> {
        let Some(name) = &self.unit.name else {
            return Ok(None);
        };
        let path = self.absolute(Path::new(&*text(name)?));
        Ok(path.parent().map(Path::to_owned))
    }

    /// A path as it is seen from where it was compiled.
    fn absolute(&self, path: &Path) -> PathBuf {
        let folder = self.unit.comp_dir.as_ref();
        let folder = folder.and_then(|folder| text(folder).ok());
        clean(&Path::new(&*folder.unwrap_or_default()).join(path))
    }

    fn rows(&mut self, rows: &mut Vec<Row>) -> Result<(), gimli::Error> {
        let Some(program) = self.unit.line_program.clone() else {
            return Ok(());
        };
        let mut steps = program.rows();
        let mut sequence: Vec<Row> = Vec::new();
        while let Some((header, row)) = steps.next_row()? {
            let address = row.address();
            // Lines that share their first instruction share all of them.
            for open in sequence.iter_mut().rev() {
                if open.addresses.end > open.addresses.start || open.addresses.start == address {
                    break;
                }
                open.addresses.end = address;
            }
            if row.end_sequence() {
                rows.append(&mut sequence);
            } else if let Some(row) = self.row(header, row)? {
                sequence.push(row);
            }
        }
        Ok(())
    }

    fn row(
        &mut self,
        header: &LineProgramHeader<Bytes>,
        row: &LineRow,
    ) -> Result<Option<Row>, gimli::Error> {
        let (Some(line), Some(file)) = (row.line(), row.file(header)) else {
            return Ok(None);
        };
        Ok(Some(Row {
            addresses: row.address()..row.address(),
            file: self.path(row.file_index(), header, file)?,
            line: u32::try_from(line.get()).unwrap_or(u32::MAX),
            is_statement: row.is_stmt(),
        }))
    }

    fn path(
        &mut self,
        number: u64,
        header: &LineProgramHeader<Bytes>,
        file: &FileEntry<Bytes>,
    ) -> Result<Rc<Path>, gimli::Error> {
        if let Some(path) = self.files.get(&number) {
            return Ok(path.clone());
        }
        let name = self.unit.attr_string(file.path_name())?;
        let mut path = PathBuf::new();
        if let Some(folder) = file.directory(header) {
            path.push(&*text(&self.unit.attr_string(folder)?)?);
        }
        path.push(&*text(&name)?);
        let path: Rc<Path> = self.absolute(&path).into();
        self.files.insert(number, path.clone());
        Ok(path)
    }

    fn functions(&mut self, functions: &mut Vec<Function>) -> Result<(), gimli::Error> {
        let unit = self.unit;
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs()? {
            if entry.tag() != DW_TAG_subprogram && entry.tag() != DW_TAG_inlined_subroutine {
                continue;
            }
            let mut ranges = unit.die_ranges(entry)?;
            let mut code = Vec::new();
            while let Some(range) = ranges.next()? {
                code.push(range.begin..range.end);
            }
            if code.is_empty() {
                continue;
            }
            if let Some((name, file, line)) = self.declaration(entry)? {
                functions.push(Function {
                    name,
                    file,
                    line,
                    code,
                    is_inlined: entry.tag() == DW_TAG_inlined_subroutine,
                });
            }
        }
        Ok(())
    }

    /// Name, file and line of a function, which a copy of it leaves to its origin.
    fn declaration(
        &mut self,
        entry: &DebuggingInformationEntry<Bytes>,
    ) -> Result<Option<(String, Rc<Path>, u32)>, gimli::Error> {
        let origin = match entry.attr_value(DW_AT_abstract_origin) {
            Some(AttributeValue::UnitRef(origin)) => Some(self.origin(origin)?),
            _ => None,
        };
        let entry = origin.as_ref().unwrap_or(entry);
        let line = entry.attr_value(DW_AT_decl_line);
        let (Some(name), Some(AttributeValue::FileIndex(file)), Some(line)) = (
            entry.attr_value(DW_AT_name),
            entry.attr_value(DW_AT_decl_file),
            line.and_then(|line| line.udata_value()),
        ) else {
            return Ok(None);
        };
        let Some(program) = self.unit.line_program.clone() else {
            return Ok(None);
        };
        let header = program.header();
        let Some(entry) = header.file(file) else {
            return Ok(None);
        };
        let name = text(&self.unit.attr_string(name)?)?.into_owned();
        let file = self.path(file, header, entry)?;
        Ok(Some((name, file, u32::try_from(line).unwrap_or(u32::MAX))))
    }

    /// The entry that has the name: a copy's origin may itself be of another one.
    fn origin(&self, at: UnitOffset) -> Result<DebuggingInformationEntry<Bytes>, gimli::Error> {
        let entry = self.unit.entry(at)?;
        match entry.attr_value(DW_AT_abstract_origin) {
            Some(AttributeValue::UnitRef(next)) if next != at => self.unit.entry(next),
            _ => Ok(entry),
        }
    }
}

fn text(bytes: &Bytes) -> Result<std::borrow::Cow<'_, str>, gimli::Error> {
    gimli::Reader::to_string_lossy(bytes)
}

/// A path without `.` and `..`, by its words alone.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            component => clean.push(component),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_has_no_lines() {
        assert!(matches!(Code::of(b"no ELF"), Err(CodeError::Object(_))));
    }

    #[test]
    fn a_path_is_the_same_however_it_was_reached() {
        assert_eq!(clean(Path::new("/a/./b/../c.h")), Path::new("/a/c.h"));
    }

    #[test]
    fn a_generated_source_is_nobody_s() {
        assert!(is_generated(Path::new("/x/card.mod.c")));
        assert!(is_generated(Path::new("/x/.module-common.c")));
        assert!(!is_generated(Path::new("/x/card.c")));
    }
}
