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
    /// The patterns of the devices it is for, as `pci:v00001234d000011E8sv*sd*bc*sc*i*`.
    pub aliases: Vec<String>,
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
            } else if let Some(alias) = text.strip_prefix(b"alias=") {
                info.aliases
                    .extend(str::from_utf8(alias).map(str::to_owned));
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

/// Whether a device's alias fits a module's pattern, in which a `*` stands for any text.
#[must_use]
pub fn fits(pattern: &str, alias: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == alias;
    };
    let Some(mut left) = alias.strip_prefix(start) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        // The first place where it fits leaves most for the others.
        let Some((_, behind)) = left.split_once(part) else {
            return false;
        };
        left = behind;
    }
    true
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
    fn a_device_fits_the_pattern_of_its_driver() {
        let edu = "pci:v00001234d000011E8sv00001AF4sd00001100bc00sc FFi00";
        assert!(fits("pci:v00001234d000011E8sv*sd*bc*sc*i*", edu));
        assert!(fits("pci:v*d*sv*sd*bc00sc*i00*", edu));
        assert!(!fits("pci:v00001234d000011E9sv*sd*bc*sc*i*", edu));
        assert!(!fits("pci:v*d*sv*sd*bc02sc*i*", edu));
        assert!(fits(edu, edu) && fits("*", edu) && !fits("*x", edu));
        let info = ModuleInfo::of(b"\0alias=pci:v*\0alias=of:x\0");
        assert_eq!(info.aliases, ["pci:v*", "of:x"]);
    }

    #[test]
    fn the_parameters_of_a_module_are_those_it_describes() {
        let info = ModuleInfo::of(
            b"\0parm=unit:Unit, 0 to 31\0parmtype=unit:int\0parmtype=on:bool\0parm=delay:Delay\0parms\0",
        );
        assert_eq!(info.parameters, ["delay", "on", "unit"]);
    }
}
