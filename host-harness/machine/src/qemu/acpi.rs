// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An ACPI table for a machine that resumes from suspend to RAM.
//!
//! The machine is reset at the resume, and its firmware sets the chipset up anew. SeaBIOS
//! 1.17 does so through the window of PCI Express to the configuration space (MMCONFIG),
//! which the reset has closed: all that it writes is lost. Without this table the guest
//! is left without its ACPI registers (it can neither sleep again nor be switched off, and
//! no slot tells of a device) and without extended configuration space.
//!
//! The kernel evaluates `\_SI._SST` with the argument 2 when it wakes up, before it
//! restores the first device (ACPI 6.5, 9.2.1): there the same registers are written, by
//! ports. As ASL:
//!
//! ```text
//! Scope (\_SI) {
//!   OperationRegion (PCFG, SystemIO, 0xCF8, 8)
//!   Field (PCFG, DWordAcc, NoLock, Preserve) { PADR, 32, PDAT, 32 }
//!   OperationRegion (APMC, SystemIO, 0xB2, 1)
//!   Field (APMC, ByteAcc, NoLock, Preserve) { SCMD, 8 }
//!   Method (_SST, 1, Serialized) {
//!     If (Arg0 == 2) { PADR = 0x80000060  PDAT = 0xB0000001  ...  SCMD = 2 }
//!   }
//! }
//! ```

use std::{
    fs::File,
    io::{self, Write},
};

use crate::anonymous_file;

/// Registers of the chipset and what SeaBIOS writes there at a boot: the address as port
/// 0xCF8 takes it, and the value.
const CHIPSET: [(u32, u32); 4] = [
    // Host bridge 00:00.0, PCIEXBAR: MMCONFIG at 0xb0000000.
    (0x8000_0060, 0xb000_0001),
    // LPC bridge 00:1f.0, PMBASE and ACPI_CNTL: ACPI registers at port 0x600.
    (0x8000_f840, 0x0000_0601),
    (0x8000_f844, 0x0000_0080),
    // RCBA: the root complex at 0xfed1c000.
    (0x8000_f8f0, 0xfed1_c001),
];
/// `Arg0` of `_SST`: the machine wakes up.
const WAKING: u8 = 2;
/// Written to port 0xb2 it switches the chipset from SMI to ACPI (FADT, `ACPI_ENABLE`).
const ACPI_ENABLE: u8 = 2;

/// The table, in memory.
///
/// # Errors
/// When there is no memory.
pub(super) fn of_resume() -> io::Result<File> {
    let mut file = anonymous_file::create("irqbed-acpi", 0)?;
    file.write_all(&bytes())?;
    Ok(file)
}

fn bytes() -> Vec<u8> {
    let scope = [
        b"\\_SI_".to_vec(),
        region(b"PCFG", &word(0xcf8), 8),
        field(b"PCFG", 3, &[(b"PADR", 32), (b"PDAT", 32)]),
        region(b"APMC", &byte(0xb2), 1),
        field(b"APMC", 1, &[(b"SCMD", 8)]),
        sst(),
    ];
    table(&package(&[0x10], &scope.concat()))
}

fn sst() -> Vec<u8> {
    let mut body = vec![0x93, ARG0];
    body.extend(byte(WAKING));
    for (address, value) in CHIPSET {
        body.extend(store(&dword(address), b"PADR"));
        body.extend(store(&dword(value), b"PDAT"));
    }
    body.extend(store(&byte(ACPI_ENABLE), b"SCMD"));
    const ONE_ARGUMENT_SERIALIZED: u8 = 1 | 1 << 3;
    let mut method = b"_SST".to_vec();
    method.push(ONE_ARGUMENT_SERIALIZED);
    method.extend(package(&[0xa0], &body));
    package(&[0x14], &method)
}

/// The first argument of a method (ACPI 6.5, 20.2.6.1).
const ARG0: u8 = 0x68;

fn byte(value: u8) -> Vec<u8> {
    vec![0x0a, value]
}

fn word(value: u16) -> Vec<u8> {
    [&[0x0b][..], &value.to_le_bytes()].concat()
}

fn dword(value: u32) -> Vec<u8> {
    [&[0x0c][..], &value.to_le_bytes()].concat()
}

fn store(value: &[u8], name: &[u8; 4]) -> Vec<u8> {
    [&[0x70], value, name].concat()
}

/// A region of ports.
fn region(name: &[u8; 4], address: &[u8], len: u8) -> Vec<u8> {
    [&[0x5b, 0x80], &name[..], &[1], address, &byte(len)].concat()
}

/// Fields of a region, each with its width; `access` is 1 for bytes and 3 for 32 bits.
fn field(region: &[u8; 4], access: u8, fields: &[(&[u8; 4], u8)]) -> Vec<u8> {
    let mut body = region.to_vec();
    body.push(access);
    for (name, bits) in fields {
        body.extend(*name);
        body.push(*bits);
    }
    package(&[0x5b, 0x81], &body)
}

/// An operator with a body of a length, which counts itself (ACPI 6.5, 20.2.4).
fn package(operator: &[u8], body: &[u8]) -> Vec<u8> {
    let length = match body.len() + 1 {
        short @ 0..0x40 => vec![short as u8],
        _ => {
            let long = body.len() + 2;
            vec![0x40 | (long & 0xf) as u8, (long >> 4) as u8]
        }
    };
    [operator, &length, body].concat()
}

/// A secondary table (SSDT) of this code.
fn table(code: &[u8]) -> Vec<u8> {
    const HEADER: usize = 36;
    let length = (HEADER + code.len()) as u32;
    let one = 1_u32.to_le_bytes();
    let mut table = [
        b"SSDT",
        &length.to_le_bytes()[..],
        // Revision 1, and the checksum.
        &[1, 0],
        b"IRQBED",
        b"S3RESUME",
        &one,
        b"IRQB",
        &one,
        code,
    ]
    .concat();
    let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    table[9] = sum.wrapping_neg();
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_one() {
        let table = bytes();
        assert_eq!(&table[..4], b"SSDT");
        let length = u32::from_le_bytes([table[4], table[5], table[6], table[7]]);
        assert_eq!(length as usize, table.len());
        let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!(sum, 0);
    }

    #[test]
    fn a_package_counts_its_own_length() {
        assert_eq!(package(&[0x10], &[0; 62])[..2], [0x10, 63]);
        let long = package(&[0x10], &[0; 63]);
        assert_eq!(long[..3], [0x10, 0x40 | 1, 4]);
        assert_eq!(long.len(), 1 + 65);
    }
}
