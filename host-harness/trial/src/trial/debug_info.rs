// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The debug information of a module. A module is relocatable: each section of its code gets
//! an address of ours.

use std::{collections::HashMap, rc::Rc};

use gimli::{Dwarf, EndianRcSlice, LittleEndian, SectionId};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SectionKind};

pub(super) type Bytes = EndianRcSlice<LittleEndian>;

/// Where the first section lies. Nothing lies at 0, where linkers put what they drop.
const FIRST: u64 = 0x10000;

/// The addresses that we give to the sections of a module's code.
pub(super) struct Addresses(HashMap<SectionIndex, u64>);

impl Addresses {
    pub(super) fn of(file: &object::File<'_>) -> Self {
        let mut next = FIRST;
        let code = file
            .sections()
            .filter(|section| section.kind() == SectionKind::Text);
        let addresses = code.map(|section| {
            let address = next;
            next = next.saturating_add(section.size()).next_multiple_of(FIRST);
            (section.index(), address)
        });
        Self(addresses.collect())
    }

    /// That of a symbol in code.
    pub(super) fn symbol<'data>(&self, symbol: &impl ObjectSymbol<'data>) -> Option<u64> {
        let section = self.0.get(&symbol.section_index()?)?;
        section.checked_add(symbol.address())
    }

    /// That of a section of code.
    pub(super) fn section(&self, index: SectionIndex) -> Option<u64> {
        self.0.get(&index).copied()
    }

    /// The debug information, with our addresses in it.
    pub(super) fn dwarf(&self, file: &object::File<'_>) -> Result<Dwarf<Bytes>, object::Error> {
        Dwarf::load(|id: SectionId| {
            let data = self.relocated(file, id.name())?;
            Ok(EndianRcSlice::new(Rc::from(data), LittleEndian))
        })
    }

    /// The bytes of a section of debug information, with our addresses in them; none where
    /// there is no such section.
    fn relocated(&self, file: &object::File<'_>, name: &str) -> Result<Vec<u8>, object::Error> {
        let Some(section) = file.section_by_name(name) else {
            return Ok(Vec::new());
        };
        let mut data = section.data()?.to_vec();
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else {
                continue;
            };
            let symbol = file.symbol_by_index(index)?;
            let address = self.symbol(&symbol).unwrap_or_else(|| symbol.address());
            let value = address
                .wrapping_add_signed(relocation.addend())
                .to_le_bytes();
            let bytes = usize::from(relocation.size() / 8);
            let place = usize::try_from(offset).ok();
            let place = place.and_then(|start| data.get_mut(start..start.checked_add(bytes)?));
            if let (Some(place), Some(value)) = (place, value.get(..bytes)) {
                place.copy_from_slice(value);
            }
        }
        Ok(data)
    }
}
