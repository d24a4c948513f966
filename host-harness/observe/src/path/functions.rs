// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Instructions by the function that they belong to.

use std::collections::BTreeMap;

use irqbed_abi::control::Symbol;
use serde::Serialize;

use super::journey::is_user;

/// The name of everything that a process executes.
const AGENT: &str = "agent";

/// Names of kernel functions.
#[derive(Debug, Clone, Default)]
pub struct Functions(BTreeMap<u64, String>);

/// Instructions executed in one function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Function {
    /// Its name, with its module in brackets.
    pub name: String,
    /// Instructions executed in it, those of functions it calls not counted.
    pub instructions: u64,
}

impl Functions {
    /// By the symbols that the guest found for its addresses.
    #[must_use]
    pub fn new(symbols: Vec<Symbol>) -> Self {
        let named = |symbol: Symbol| {
            let name = match symbol.module {
                Some(module) => format!("{} [{module}]", symbol.name),
                None => symbol.name,
            };
            (symbol.address, name)
        };
        Self(symbols.into_iter().map(named).collect())
    }

    /// The kernel's own of these addresses, once each: what to ask the guest for.
    #[must_use]
    pub fn unknown(instructions: &[u64]) -> Vec<u64> {
        let mut addresses: Vec<u64> = instructions
            .iter()
            .copied()
            .filter(|&address| !is_user(address))
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// The function that an address belongs to; the address itself where there
    /// is no name for it.
    #[must_use]
    pub fn of(&self, address: u64) -> String {
        if is_user(address) {
            return AGENT.to_owned();
        }
        let found = self.0.range(..=address).next_back();
        found.map_or_else(|| format!("{address:#x}"), |(_, name)| name.clone())
    }

    /// Instructions by function, the most first; of equal many, by name.
    #[must_use]
    pub fn count(&self, instructions: &[u64]) -> Vec<Function> {
        let mut counts = BTreeMap::<String, u64>::new();
        for &address in instructions {
            *counts.entry(self.of(address)).or_default() += 1;
        }
        let mut functions: Vec<Function> = counts
            .into_iter()
            .map(|(name, instructions)| Function { name, instructions })
            .collect();
        functions.sort_by_key(|function| std::cmp::Reverse(function.instructions));
        functions
    }

    /// Instructions in the order of time: an entry for each stay in a function.
    #[must_use]
    pub fn stays(&self, instructions: &[u64]) -> Vec<Function> {
        let mut stays = Vec::<Function>::new();
        for &address in instructions {
            let name = self.of(address);
            match stays.last_mut() {
                Some(stay) if stay.name == name => stay.instructions += 1,
                _ => stays.push(Function {
                    name,
                    instructions: 1,
                }),
            }
        }
        stays
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KERNEL: u64 = 0xffff_ffff_8100_0000;

    fn symbol(offset: u64, name: &str, module: Option<&str>) -> Symbol {
        Symbol {
            address: KERNEL + offset,
            name: name.to_owned(),
            module: module.map(str::to_owned),
        }
    }

    fn functions() -> Functions {
        Functions::new(vec![
            symbol(0x40, "second", Some("irqbed")),
            symbol(0x10, "first", None),
        ])
    }

    fn row(name: &str, instructions: u64) -> Function {
        let name = name.to_owned();
        Function { name, instructions }
    }

    const WALK: [u64; 6] = [
        KERNEL + 0x10,
        KERNEL + 0x40,
        KERNEL + 0x48,
        KERNEL + 0x3f,
        0x1000,
        KERNEL + 0x44,
    ];

    #[test]
    fn each_instruction_counts_in_the_function_it_lies_in() {
        let expected = [row("second [irqbed]", 3), row("first", 2), row("agent", 1)];
        assert_eq!(functions().count(&WALK), expected);
    }

    #[test]
    fn stays_follow_each_other_as_they_were_executed() {
        let expected = [
            row("first", 1),
            row("second [irqbed]", 2),
            row("first", 1),
            row("agent", 1),
            row("second [irqbed]", 1),
        ];
        assert_eq!(functions().stays(&WALK), expected);
    }

    #[test]
    fn an_address_without_a_name_is_its_own() {
        assert_eq!(functions().of(KERNEL), "0xffffffff81000000");
    }

    #[test]
    fn the_guest_is_asked_for_each_address_of_its_kernel_once() {
        let asked = Functions::unknown(&[KERNEL, 5, KERNEL + 1, KERNEL]);
        assert_eq!(asked, [KERNEL, KERNEL + 1]);
    }

    proptest! {
        #[test]
        fn no_instruction_is_lost(walk in proptest::collection::vec(any::<u64>(), 0..200)) {
            let sum = |rows: Vec<Function>| rows.iter().map(|row| row.instructions).sum::<u64>();
            prop_assert_eq!(sum(functions().count(&walk)), walk.len() as u64);
            prop_assert_eq!(sum(functions().stays(&walk)), walk.len() as u64);
        }
    }
}
