// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a kernel module says of itself in its section `.modinfo`: texts of the
//! form `KEY=VALUE`, each ended by a zero byte.

use crate::artefacts::release;

/// What a module says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// The name it will have once it is loaded.
    pub name: Option<String>,
    /// The kernel release it was built for, from its `vermagic`.
    pub release: Option<String>,
    /// The parameters that it describes, or says the type of, sorted. There may
    /// be others: nothing makes a module speak of them.
    pub parameters: Vec<String>,
    /// The modules that it needs.
    pub depends: Vec<String>,
}

impl ModuleInfo {
    /// Reads a module's file, or any other: what is not there is left empty.
    #[must_use]
    pub fn of(image: &[u8]) -> Self {
        let mut info = Self::default();
        for text in image.split(|byte| *byte == 0) {
            if let Some(magic) = text.strip_prefix(b"vermagic=") {
                info.release = info.release.or_else(|| release(magic));
            } else if let Some(name) = text.strip_prefix(b"name=") {
                info.name = info.name.or_else(|| word(name));
            } else if let Some(names) = text.strip_prefix(b"depends=") {
                let names = names.split(|byte| *byte == b',');
                info.depends.extend(names.filter_map(word));
            } else if let Some(parameter) = [&b"parm="[..], b"parmtype="]
                .iter()
                .find_map(|key| text.strip_prefix(*key))
            {
                let name = parameter.split(|byte| *byte == b':').next();
                info.parameters.extend(name.and_then(word));
            }
        }
        info.parameters.sort_unstable();
        info.parameters.dedup();
        info
    }
}

/// A name as C has them.
fn word(bytes: &[u8]) -> Option<String> {
    let word = str::from_utf8(bytes).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (!word.is_empty() && word.chars().all(plain)).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_says_its_name_and_its_kernel() {
        let info = ModuleInfo::of(
            b"\x7fELF\0license=GPL\0name=irqbed\0vermagic=6.12.117+deb12-amd64 SMP preempt \0",
        );
        assert_eq!(info.name.as_deref(), Some("irqbed"));
        assert_eq!(info.release.as_deref(), Some("6.12.117+deb12-amd64"));
        assert_eq!(
            ModuleInfo::of(b"name=\0vermagic=x\0"),
            ModuleInfo::default()
        );
    }

    #[test]
    fn a_module_says_what_it_needs() {
        let info = ModuleInfo::of(b"\0depends=vfio-pci-core,vfio\0");
        assert_eq!(info.depends, ["vfio-pci-core", "vfio"]);
        assert_eq!(ModuleInfo::of(b"\0depends=\0"), ModuleInfo::default());
    }

    #[test]
    fn the_parameters_of_a_module_are_those_it_describes() {
        let info = ModuleInfo::of(
            b"\0parm=unit:Unit, 0 to 31\0parmtype=unit:int\0parmtype=on:bool\0parm=delay:Delay\0parms\0",
        );
        assert_eq!(info.parameters, ["delay", "on", "unit"]);
    }
}
