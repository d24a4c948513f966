// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What lies in the store, and how much of it nobody needs any more.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::{
    STORE, Setup,
    compiler::compiler_of,
    store::{entries, files_below, remove},
};

/// Held by whoever writes to the store.
const LOCK: &str = "lock";
/// Folders whose own folders are parts.
const SHELVES: [&str; 2] = ["kernels", "compilers"];
/// What is there to be read again, and is fetched or written anew where it is not.
const PASSING: [&str; 2] = ["archive", "log"];

/// Something in the store.
#[derive(Debug)]
pub struct Part {
    /// Its path in the store.
    pub name: String,
    /// The size of its files.
    pub bytes: u64,
    /// Why nobody needs it any more; `None` where it is needed.
    pub idle: Option<&'static str>,
    path: PathBuf,
}

impl Setup {
    /// The folder of the store.
    #[must_use]
    pub fn store_folder(&self) -> &Path {
        self.store.folder()
    }

    /// What lies in the store, by name.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn contents(&self) -> Result<Vec<Part>> {
        let mut paths = Vec::new();
        for path in entries(self.store.folder()) {
            if path.ends_with(LOCK) {
                continue;
            }
            let is_shelf = SHELVES.iter().any(|shelf| path.ends_with(shelf));
            match is_shelf {
                true => paths.extend(entries(&path)),
                false => paths.push(path),
            }
        }
        let needed = self.compilers_needed();
        let part = |path: PathBuf| {
            let name = path.strip_prefix(self.store.folder()).unwrap_or(&path);
            let name = name.to_string_lossy().into_owned();
            Ok(Part {
                bytes: size(&path)?,
                idle: idle(&name, &needed),
                name,
                path,
            })
        };
        let parts: Result<Vec<Part>> = paths.into_iter().map(part).collect();
        let mut parts = parts?;
        parts.extend(self.of_other_versions()?);
        Ok(parts)
    }

    /// Removes what nobody needs any more; what that was.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub fn prune(&self) -> Result<Vec<Part>> {
        self.store.lock()?;
        let mut parts = self.contents()?;
        parts.retain(|part| part.idle.is_some());
        for part in &parts {
            remove(&part.path)?;
        }
        Ok(parts)
    }

    /// Removes the kernel of a name, with driver and initial file system for it; the bytes of
    /// their files.
    ///
    /// # Errors
    ///
    /// It is not there, or is the guest's own.
    pub fn remove_kernel(&self, name: &str) -> Result<u64> {
        if name == self.versions.stock_kernel() {
            bail!("{name} is the guest's own kernel: every command needs it");
        }
        let home = self.store.path("kernels").join(name);
        if name.contains('/') || !home.join("kernel").is_dir() {
            bail!("the kernel {name} is not here: `irqbed kernel --list` says which are");
        }
        self.store.lock()?;
        let bytes = size(&home)?;
        remove(&home)?;
        Ok(bytes)
    }

    /// The names of the compilers of all kernels that are here.
    fn compilers_needed(&self) -> Vec<String> {
        let others = entries(&self.store.path("kernels"));
        let homes = others.into_iter().chain([self.packed.clone()]);
        let of_guest = format!("gcc-{}", self.guest_compiler());
        homes
            .filter_map(|home| compiler_of(&home.join("kernel/build")))
            .chain([of_guest])
            .collect()
    }

    /// What other versions of a release have fetched.
    fn of_other_versions(&self) -> Result<Vec<Part>> {
        let folder = self.store.folder();
        // A clone's own has no neighbours.
        let (false, Some(above)) = (folder.ends_with(STORE), folder.parent()) else {
            return Ok(Vec::new());
        };
        let is_store =
            |path: &PathBuf| path != folder && is_version(path) && path.join(LOCK).is_file();
        let others = entries(above).into_iter().filter(is_store);
        others
            .map(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                Ok(Part {
                    name: format!("../{name}"),
                    bytes: size(&path)?,
                    idle: Some("of another version"),
                    path,
                })
            })
            .collect()
    }
}

/// Why nobody needs a part any more.
fn idle(name: &str, compilers: &[String]) -> Option<&'static str> {
    let compiler = name.strip_prefix("compilers/");
    if name.ends_with(".new") || name.ends_with(".old") {
        Some("half done")
    } else if PASSING.contains(&name) {
        Some("read again where it is not there")
    } else if compiler.is_some_and(|name| !compilers.iter().any(|needed| needed == name)) {
        Some("of no kernel that is here")
    } else {
        None
    }
}

/// Whether a folder is named by a version.
fn is_version(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let numbers: Vec<&str> = name.split('.').collect();
    numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok())
}

fn size(path: &Path) -> Result<u64> {
    if !path.is_dir() {
        return Ok(fs::symlink_metadata(path)?.len());
    }
    let files = files_below(path)?;
    let sizes = files
        .iter()
        .map(|file| fs::symlink_metadata(file).map(|found| found.len()));
    Ok(sizes.sum::<std::io::Result<u64>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_needs_has_a_reason() {
        let needed = ["gcc-12".to_owned()];
        for (name, expected) in [
            ("kernels/7.3", None),
            ("compilers/gcc-12", None),
            ("compilers/gcc-14", Some("of no kernel that is here")),
            ("kernels/7.3.new", Some("half done")),
            ("archive", Some("read again where it is not there")),
            ("qemu", None),
        ] {
            assert_eq!(idle(name, &needed), expected, "{name}");
        }
    }

    #[test]
    fn only_a_folder_named_by_a_version_is_of_one() {
        assert!(is_version(Path::new("/home/me/irqbed/0.1.0")));
        for other in ["/home/me", "/x/0.1", "/x/0.1.0-rc", "/x/..", "/"] {
            assert!(!is_version(Path::new(other)), "{other}");
        }
    }
}
