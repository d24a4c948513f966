// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Loads and unloads the driver, and says in words why it could not.

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString},
    fmt::Write,
    fs::{self, File},
    path::Path,
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::{
    io::Errno,
    system::{delete_module, finit_module},
};

use crate::kmsg::Kmsg;

/// Where the initramfs holds modules.
pub const FOLDER: &str = "/lib/modules";
/// The driver there.
const FILE: &str = "/lib/modules/irqbed.ko";
/// Its name.
const NAME: &CStr = c"irqbed";
/// Kernel messages shown with a failure.
const SHOWN: usize = 3;

/// Loads the driver, and before it what it needs of the kernel's own modules.
pub fn load(parameters: &BTreeMap<String, String>) -> Result<()> {
    let line = CString::new(parameter_line(parameters)?)?;
    let image = fs::read(FILE).with_context(|| format!("cannot read {FILE}"))?;
    load_stock(&dependencies(&image))?;
    let file = File::open(FILE).with_context(|| format!("cannot open {FILE}"))?;
    let log = Kmsg::from_now();
    finit_module(&file, &line, 0).map_err(|error| {
        let error = match error {
            Errno::EXIST => anyhow!("the module is loaded already"),
            error => anyhow!("the module does not load: {error}"),
        };
        match log.map(|mut log| log.of_the_driver()) {
            Ok(lines) if !lines.is_empty() => {
                let last = lines
                    .get(lines.len().saturating_sub(SHOWN)..)
                    .unwrap_or_default();
                anyhow!("{error}; the kernel says: {}", last.join(" | "))
            }
            _ => error,
        }
    })
}

/// Loads modules of the kernel's own, in this order, each behind those that it
/// needs; one that is loaded, or built in, is passed over.
pub fn load_stock(names: &[&str]) -> Result<()> {
    for name in names {
        // The kernel makes no difference between the two.
        if Path::new("/sys/module")
            .join(name.replace('-', "_"))
            .exists()
        {
            continue;
        }
        let path = format!("{FOLDER}/{name}.ko");
        let file = File::open(&path)
            .with_context(|| format!("cannot open {path}: this kernel came without it"))?;
        load_stock(&dependencies(
            &fs::read(&path).with_context(|| format!("cannot read {path}"))?,
        ))?;
        finit_module(&file, c"", 0).with_context(|| format!("the module {name} does not load"))?;
    }
    Ok(())
}

/// The modules that a module names as those it needs, in its `.modinfo`.
pub fn dependencies(image: &[u8]) -> Vec<&str> {
    let names = image
        .split(|byte| *byte == 0)
        .find_map(|text| std::str::from_utf8(text.strip_prefix(b"depends=")?).ok());
    names
        .unwrap_or_default()
        .split(',')
        .filter(|name| !name.is_empty())
        .collect()
}

/// Unloads the driver. Nothing of PID 1's own holds it: sockets and mappings
/// live only as long as the request that needs them.
pub fn unload() -> Result<()> {
    match delete_module(NAME, libc::O_NONBLOCK) {
        Ok(()) => Ok(()),
        Err(Errno::NOENT) => bail!("the module is not loaded"),
        Err(Errno::WOULDBLOCK | Errno::BUSY) => {
            let users = fs::read_to_string("/sys/module/irqbed/refcnt").unwrap_or_default();
            bail!(
                "the module is busy: {} users (each listener is one, and what it maps another)",
                users.trim()
            )
        }
        Err(error) => Err(anyhow!("the module does not unload: {error}")),
    }
}

/// Module parameters as the kernel's parser takes them: `name=value ...`, a
/// value with spaces in quotes.
pub fn parameter_line(parameters: &BTreeMap<String, String>) -> Result<String> {
    let mut line = String::new();
    for (name, value) in parameters {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || !name.bytes().all(plain) {
            bail!("{name:?} is no name of a module parameter");
        }
        // The kernel's parser knows no way to escape a quote.
        if value.contains(['"', '\0', '\n']) {
            bail!("the module parameter {name} cannot be {value:?}: no quotes, no line ends");
        }
        let separator = if line.is_empty() { "" } else { " " };
        let quote = if value.contains(char::is_whitespace) {
            "\""
        } else {
            ""
        };
        write!(line, "{separator}{name}={quote}{value}{quote}")?;
    }
    Ok(line)
}

/// The module parameters that the kernel's command line holds for us, as
/// modprobe would find them: `irqbed.name=value`.
pub fn parameters_from(command_line: &str) -> BTreeMap<String, String> {
    command_line
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix("irqbed.")?.split_once('='))
        .filter(|(name, _)| *name != "mode")
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, value: &str) -> Result<String> {
        parameter_line(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn a_module_needs_what_it_names() {
        let needs = |depends: &str| {
            let image = format!("\x7fELF\0license=GPL\0{depends}\0name=irqbed\0");
            dependencies(image.as_bytes()).join(" ")
        };
        assert_eq!(needs("depends=uio"), "uio");
        assert_eq!(needs("depends=uio,vfio-pci"), "uio vfio-pci");
        assert_eq!(needs("depends="), "");
        assert_eq!(needs("parm=depends=no"), "");
    }

    #[test]
    fn parameters_are_joined_by_spaces() {
        let parameters = BTreeMap::from([
            ("unit".into(), "16".into()),
            ("delay_ns".into(), "5".into()),
        ]);
        assert_eq!(
            parameter_line(&parameters).expect("a line"),
            "delay_ns=5 unit=16"
        );
        assert_eq!(parameter_line(&BTreeMap::new()).expect("a line"), "");
    }

    #[test]
    fn a_value_with_spaces_is_quoted() {
        assert_eq!(
            line("text", "two words").expect("a line"),
            "text=\"two words\""
        );
    }

    #[test]
    fn what_the_kernel_could_misread_is_refused() {
        for (name, value) in [
            ("a b", "1"),
            ("", "1"),
            ("a=b", "1"),
            ("a", "\""),
            ("a", "\0"),
        ] {
            assert!(line(name, value).is_err(), "{name:?}={value:?}");
        }
    }

    #[test]
    fn the_command_line_sets_parameters_like_modprobe() {
        let found = parameters_from("quiet irqbed.mode=shell irqbed.unit=30 irqbed.flag\n");
        assert_eq!(found, BTreeMap::from([("unit".into(), "30".into())]));
    }
}
