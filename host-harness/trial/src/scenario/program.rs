// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the guest can run a program: it has no libraries and no interpreters
//! but busybox.

use object::{
    elf,
    read::elf::{ElfFile32, ElfFile64, FileHeader, ProgramHeader},
};

/// `Err` with the reason, and what to do, when the guest cannot run it. `is_there`
/// knows the paths in the guest.
pub(super) fn check(program: &[u8], is_there: impl Fn(&str) -> bool) -> Result<(), String> {
    if let Some(script) = program.strip_prefix(b"#!") {
        return check_script(script, is_there);
    }
    if let Ok(file) = ElfFile64::<object::LittleEndian>::parse(program) {
        return check_elf(&file, elf::EM_X86_64);
    }
    if let Ok(file) = ElfFile32::<object::LittleEndian>::parse(program) {
        return check_elf(&file, elf::EM_386);
    }
    Err("it is neither an ELF program nor a script, which begins with #!/bin/sh".to_owned())
}

fn check_script(script: &[u8], is_there: impl Fn(&str) -> bool) -> Result<(), String> {
    let line = script
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    if line.ends_with(b"\r") {
        return Err("its first line ends as on Windows: save it with line ends of Unix".to_owned());
    }
    let line = String::from_utf8_lossy(line);
    let interpreter = line.split_ascii_whitespace().next().unwrap_or_default();
    if is_there(interpreter) {
        return Ok(());
    }
    Err(format!(
        "it asks for {interpreter:?}, which is not in the guest: begin with #!/bin/sh (of busybox), \
         or bring a static one by --file PATH:{interpreter}"
    ))
}

fn check_elf<'data, Elf>(
    file: &object::read::elf::ElfFile<'data, Elf>,
    machine: elf::Machine,
) -> Result<(), String>
where
    Elf: FileHeader<Endian = object::LittleEndian>,
{
    let header = file.elf_header();
    let endian = file.endian();
    if header.e_machine(endian) != machine {
        return Err("it is of another machine than x86-64".to_owned());
    }
    match header.e_type(endian) {
        elf::ET_EXEC | elf::ET_DYN => {}
        elf::ET_REL => return Err("it is an object file or a module, and no program".to_owned()),
        _ => return Err("it is an ELF file, but no program".to_owned()),
    }
    let interpreter = file
        .elf_program_headers()
        .iter()
        .find_map(|header| header.interpreter(endian, file.data()).ok().flatten());
    match interpreter {
        None => Ok(()),
        Some(interpreter) => Err(format!(
            "it is linked dynamically (by {}), and the guest has no libraries: build it static, \
             by -static of gcc or -C target-feature=+crt-static of rustc",
            String::from_utf8_lossy(interpreter)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(program: &[u8]) -> String {
        check(program, |path| path == "/bin/sh").expect_err("refused")
    }

    #[test]
    fn a_script_needs_an_interpreter_of_the_guest() {
        let is_there = |path: &str| path == "/bin/sh";
        check(b"#!/bin/sh\nexit 0\n", is_there).expect("a script");
        check(b"#! /bin/sh -eu", is_there).expect("a script");
        assert!(refused(b"#!/usr/bin/env python3\n").contains("/usr/bin/env"));
        assert!(refused(b"#!/bin/sh\r\n").contains("Windows"));
        assert!(refused(b"#!\n").contains("\"\""));
        assert!(refused(b"exit 0\n").contains("#!/bin/sh"));
        assert!(refused(b"").contains("#!/bin/sh"));
    }

    #[test]
    fn a_program_that_needs_libraries_is_refused() {
        // This test is such a one.
        let own = std::fs::read(std::env::current_exe().expect("a path")).expect("a file");
        let why = refused(&own);
        assert!(why.contains("ld-linux") && why.contains("-static"), "{why}");
        assert!(refused(&own[..100]).contains("#!/bin/sh"), "cut short");
    }
}
