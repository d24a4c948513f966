// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The modules of the guest's own kernel, by name: where each lies, and which others it
//! needs. Distributions compress them; here they are as the kernel takes them.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use irqbed_archive::compression::plain;
use irqbed_machine::kmod::ModuleInfo;

use super::{ScenarioError, module, read};

/// A module of the kernel, ready to load.
#[derive(Debug)]
pub(super) struct Stock {
    /// Its file on the host.
    pub(super) path: PathBuf,
    /// Its image, not compressed.
    pub(super) image: Vec<u8>,
    /// What it says of itself.
    pub(super) info: ModuleInfo,
}

/// Where the kernel has a module.
#[derive(Debug)]
pub(super) enum Found {
    /// In a file.
    File(Stock),
    /// In the kernel image itself: there is nothing to load.
    BuiltIn,
    /// Nowhere.
    Nowhere,
}

/// The modules of one kernel. No folder is read before a module is asked for that the
/// folders before it do not have.
#[derive(Debug)]
pub(super) struct StockModules {
    release: String,
    folders: Vec<(PathBuf, OnceCell<Index>)>,
}

/// The modules in a folder, by name.
#[derive(Debug, Default)]
struct Index {
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
}

impl StockModules {
    /// The modules of a release below some folders. One that is missing is passed over.
    pub(super) fn new(release: &str, folders: Vec<PathBuf>) -> Self {
        let folders = folders.into_iter();
        Self {
            release: release.to_owned(),
            folders: folders.map(|path| (path, OnceCell::new())).collect(),
        }
    }

    /// Finds a module.
    ///
    /// # Errors
    /// [`ScenarioError`] when its file cannot be read, or is of another kernel.
    pub(super) fn find(&self, name: &str) -> Result<Found, ScenarioError> {
        let name = canonical(name);
        for (folder, index) in &self.folders {
            let index = index.get_or_init(|| Index::of(folder));
            if let Some(path) = index.files.get(&name) {
                return load(path, &self.release).map(Found::File);
            }
            if index.built_in.contains(&name) {
                return Ok(Found::BuiltIn);
            }
        }
        Ok(Found::Nowhere)
    }

    /// The folders, in words.
    pub(super) fn folders(&self) -> String {
        let folders = self.folders.iter();
        let folders = folders.map(|(path, _)| path.display().to_string());
        folders.collect::<Vec<_>>().join(", ")
    }

    /// The names that begin most like this one, for a message.
    pub(super) fn similar(&self, name: &str) -> Vec<String> {
        const SHOWN: usize = 4;
        let name = canonical(name);
        let common = |known: &&String| {
            let pairs = known.chars().zip(name.chars());
            pairs.take_while(|(one, other)| one == other).count()
        };
        let indices = self.folders.iter().filter_map(|(_, index)| index.get());
        let names = indices.flat_map(|index| index.files.keys());
        let mut names: Vec<_> = names
            .filter(|known| common(known) >= SHOWN.min(name.len()))
            .collect();
        names.sort_by_key(|known| std::cmp::Reverse(common(known)));
        names.into_iter().take(SHOWN).cloned().collect()
    }
}

/// The name that the kernel has for a module: a file may be called `vfio-pci.ko`.
pub(super) fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// The module's name in the name of its file, which may be compressed.
fn name_of(file: &str) -> Option<String> {
    let (stem, rest) = file.rsplit_once(".ko")?;
    matches!(rest, "" | ".xz" | ".zst" | ".gz").then(|| canonical(stem))
}

impl Index {
    fn of(folder: &Path) -> Self {
        let mut index = Self::default();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(kind) = entry.file_type() else {
                    continue;
                };
                // A link may lead back, or out.
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    let name = name_of(&entry.file_name().to_string_lossy());
                    index.files.extend(name.map(|name| (name, entry.path())));
                }
            }
        }
        let list = fs::read_to_string(folder.join("modules.builtin"));
        let list = list.unwrap_or_default();
        let built_in = list.lines().filter_map(|line| line.rsplit('/').next());
        index.built_in = built_in.filter_map(name_of).collect();
        index
    }
}

fn load(path: &Path, release: &str) -> Result<Stock, ScenarioError> {
    let file = read("module", path)?;
    let mut image = Vec::new();
    plain(&file[..])
        .and_then(|mut content| content.read_to_end(&mut image))
        .map_err(|error| ScenarioError::Unreadable {
            what: "module",
            path: path.to_owned(),
            error,
        })?;
    let info = module::check(path, &image, release)?;
    Ok(Stock {
        path: path.to_owned(),
        image,
        info,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_as_its_module_but_for_dashes_and_compression() {
        assert_eq!(name_of("vfio-pci.ko.xz").as_deref(), Some("vfio_pci"));
        assert_eq!(name_of("uio.ko").as_deref(), Some("uio"));
        assert_eq!(name_of("uio.ko.cmd"), None);
        assert_eq!(name_of("Makefile"), None);
    }

    #[test]
    fn modules_are_found_in_folders_and_in_the_kernel() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("kernel/drivers");
        fs::create_dir_all(&inner).expect("a folder");
        fs::write(inner.join("a-b.ko"), "no module").expect("a file");
        let list = "kernel/lib/inside.ko\nkernel/other-one.ko\n";
        fs::write(folder.path().join("modules.builtin"), list).expect("a file");
        // A loop would be walked for ever.
        std::os::unix::fs::symlink("..", inner.join("up")).expect("a link");
        let missing = folder.path().join("missing");
        let modules = StockModules::new("6.12", vec![missing, folder.path().to_owned()]);
        assert!(matches!(modules.find("other_one"), Ok(Found::BuiltIn)));
        assert!(matches!(modules.find("none"), Ok(Found::Nowhere)));
        let error = modules.find("a_b").expect_err("no module").to_string();
        assert!(error.contains("a-b.ko is no kernel module"), "{error}");
        assert_eq!(modules.similar("a_bc"), Vec::<String>::new());
        assert_eq!(modules.similar("a_b"), ["a_b"]);
    }
}
