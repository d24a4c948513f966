// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names of kernel functions, from `/proc/kallsyms`. The guest looks them up
//! itself: the list is ten megabytes, and the line to the harness slow.

use std::fs;

use anyhow::{Context, Result, ensure};
use irqbed_abi::control::Symbol;

/// The list (`kallsyms` in proc(5)): address, type, name, and the module in
/// brackets.
const LIST: &str = "/proc/kallsyms";

/// The functions that addresses belong to, each once, in order.
pub fn of(addresses: &[u64]) -> Result<Vec<Symbol>> {
    let list = fs::read_to_string(LIST).with_context(|| format!("cannot read {LIST}"))?;
    let functions = functions(&list);
    ensure!(
        functions.iter().any(|&(address, _)| address != 0),
        "{LIST} hides its addresses"
    );
    Ok(pick(&functions, addresses))
}

/// Where each function begins, and its line from the name on, in order of the
/// addresses. Of several names for one address the first in the list stays.
fn functions(list: &str) -> Vec<(u64, &str)> {
    let function = |line| {
        let (address, rest) = str::split_once(line, ' ')?;
        let (kind, name) = rest.split_once(' ')?;
        // Code, local or global, weak or not.
        let address = u64::from_str_radix(address, 16).ok()?;
        matches!(kind, "t" | "T" | "w" | "W").then_some((address, name))
    };
    let mut functions: Vec<_> = list.lines().filter_map(function).collect();
    functions.sort_by_key(|&(address, _)| address);
    functions.dedup_by_key(|&mut (address, _)| address);
    functions
}

fn pick(functions: &[(u64, &str)], addresses: &[u64]) -> Vec<Symbol> {
    let before = |address| functions.partition_point(|&(start, _)| start <= address);
    let mut found: Vec<usize> = addresses
        .iter()
        .filter_map(|&address| before(address).checked_sub(1))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
        .into_iter()
        .filter_map(|index| {
            functions
                .get(index)
                .map(|&(address, line)| symbol(address, line))
        })
        .collect()
}

fn symbol(address: u64, line: &str) -> Symbol {
    let mut words = line.split_ascii_whitespace();
    let name = words.next().unwrap_or_default().to_owned();
    let module = words
        .next()
        .and_then(|word| word.strip_prefix('[')?.strip_suffix(']'))
        .map(str::to_owned);
    Symbol {
        address,
        name,
        module,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLE: &str = "ffffffff81000000 T startup_64\n\
        ffffffff81000040 t memcpy\n\
        ffffffff81000040 T __memcpy\n\
        ffffffff81000050 d data\n\
        ffffffffc0001000 t irqbed_interrupt\t[irqbed]\n\
        ffffffff81000080 W weak\n";

    #[test]
    fn an_address_belongs_to_the_function_that_begins_before_it() {
        let found = pick(
            &functions(SAMPLE),
            &[
                0xffff_ffff_c000_1234,
                0xffff_ffff_8100_007f,
                0xffff_ffff_8100_0040,
                0x1000,
            ],
        );
        let expected = [
            Symbol {
                address: 0xffff_ffff_8100_0040,
                name: "memcpy".to_owned(),
                module: None,
            },
            Symbol {
                address: 0xffff_ffff_c000_1000,
                name: "irqbed_interrupt".to_owned(),
                module: Some("irqbed".to_owned()),
            },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_list_of_this_machine_can_be_read() {
        assert!(!functions(&fs::read_to_string(LIST).expect("the list")).is_empty());
    }

    proptest! {
        #[test]
        fn any_list_names_functions_or_none(list in ".{0,200}", address: u64) {
            pick(&functions(&list), &[address]);
        }
    }
}
