// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Some suites of Debian's archives: which packages they have, and what is in them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};

use crate::{
    fetch::{Client, Gone},
    lists::Lists,
    mirror::Suite,
    openpgp::Keys,
    packages::{List, Package, Packages},
    unpack,
};

/// Debian's, of the archives, the security updates and the releases 12 and 13.
const KEYS: &[u8] = include_bytes!("../keys/debian.pgp");
/// Newer ones, where the system has them.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
];

/// Reads some suites. Their lists are read and verified once.
pub struct Archive {
    store: PathBuf,
    suites: Vec<Suite>,
    keys: Keys,
    client: Client,
    lists: Mutex<Option<Arc<Vec<List>>>>,
}

/// Says what goes on, in a line on standard error.
pub fn say(text: &str) {
    eprintln!("setup: {text}");
}

fn moved_on(part: &str, from: &str, to: &str) {
    if from != to {
        say(&format!(
            "{part}: the archive has moved on from {from} to {to}"
        ));
    }
}

impl Archive {
    /// These suites. Lists and packages are kept in the folder `store`, and verified by
    /// Debian's keys, or by those of a keyring.
    ///
    /// # Errors
    ///
    /// The keyring cannot be read, or the system has no certificates.
    pub fn new(store: PathBuf, suites: Vec<Suite>, keyring: Option<&Path>) -> Result<Self> {
        let keys = if let Some(path) = keyring {
            let keyring = fs::read(path);
            Keys::read(&keyring.with_context(|| format!("cannot read {}", path.display()))?)
        } else {
            let mut keys = Keys::read(KEYS);
            let newer = KEYRINGS.iter().filter_map(|path| fs::read(path).ok());
            newer.for_each(|keyring| keys.extend(Keys::read(&keyring)));
            keys
        };
        Ok(Self {
            store,
            suites,
            keys,
            client: Client::new()?,
            lists: Mutex::default(),
        })
    }

    fn lists(&self, anew: bool) -> Result<Arc<Vec<List>>> {
        let mut kept = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lists) = kept.as_ref().filter(|_| !anew) {
            return Ok(Arc::clone(lists));
        }
        let lists = Lists {
            folder: self.store.join("lists"),
            keys: &self.keys,
            client: &self.client,
        };
        let suites = self.suites.iter();
        let read: Result<Vec<_>> = suites.map(|suite| lists.open(suite, anew)).collect();
        Ok(Arc::clone(kept.insert(Arc::new(read?))))
    }

    /// The newest version of a package.
    ///
    /// # Errors
    ///
    /// There are no lists to be had.
    pub fn newest(&self, package: &str) -> Result<Option<String>> {
        let lists = self.lists(false)?;
        let newest = Packages::new(&lists).newest(package, None);
        Ok(newest.map(|found| found.version.to_owned()))
    }

    /// This version of a package where the archive has it, else the newest, of one suite if
    /// one is named, which is said; nothing where there is none. `part` is what it is for.
    ///
    /// # Errors
    ///
    /// There are no lists to be had.
    pub fn pinned(
        &self,
        part: &str,
        package: &str,
        version: &str,
        suite: Option<&str>,
    ) -> Result<Option<String>> {
        let lists = self.lists(false)?;
        let packages = Packages::new(&lists);
        let pinned = packages.exactly(package, version);
        let found = pinned.or_else(|| packages.newest(package, suite));
        Ok(found.map(|found| {
            moved_on(part, version, found.version);
            found.version.to_owned()
        }))
    }

    /// The same of a kernel, whose packages have its release in their names: fixed, number and
    /// rest, of which a newer one has another number. The headers decide: an archive keeps
    /// images of older kernels without them.
    ///
    /// # Errors
    ///
    /// There are no lists to be had.
    pub fn pinned_kernel(&self, fixed: &str, number: &str, rest: &str) -> Result<Option<String>> {
        let lists = self.lists(false)?;
        let packages = Packages::new(&lists);
        let begin = format!("linux-headers-{fixed}");
        let kernels = packages.between(&begin, rest);
        let numbers: Vec<u64> = kernels.filter_map(|number| number.parse().ok()).collect();
        let pinned = number
            .parse()
            .ok()
            .filter(|pinned| numbers.contains(pinned));
        let found = pinned.or_else(|| numbers.into_iter().max());
        Ok(found.map(|found| {
            let release = |number: &str| format!("{fixed}{number}{rest}");
            let found = release(&found.to_string());
            moved_on("kernel", &release(number), &found);
            found
        }))
    }

    /// The names of all that a package names as what it needs.
    ///
    /// # Errors
    ///
    /// The archive has no such package.
    pub fn needs(&self, package: &str) -> Result<Vec<String>> {
        let lists = self.lists(false)?;
        let found = Packages::new(&lists).named(package)?;
        Ok(found.needed_names().map(str::to_owned).collect())
    }

    /// Packages and all that they need, `NAME=VERSION` each. Versions of the suite `preferred`
    /// go first.
    ///
    /// # Errors
    ///
    /// The archive lacks something.
    pub fn closure(&self, preferred: &str, wanted: &[impl AsRef<str>]) -> Result<Vec<String>> {
        let lists = self.lists(false)?;
        let packages = Packages::new(&lists);
        let closure = packages.closure(&named(&packages, wanted)?, preferred)?;
        Ok(closure.iter().map(ToString::to_string).collect())
    }

    /// What packages take when they are unpacked, MiB.
    ///
    /// # Errors
    ///
    /// The archive lacks one.
    pub fn size(&self, wanted: &[impl AsRef<str>]) -> Result<u64> {
        let lists = self.lists(false)?;
        let found = named(&Packages::new(&lists), wanted)?;
        Ok(found.iter().map(Package::installed_kib).sum::<u64>() / 1024)
    }

    /// Fetches packages and unpacks them into a folder. The line that says so begins with the
    /// name of the part that they are for and a colon.
    ///
    /// # Errors
    ///
    /// The archive lacks one, it cannot be fetched or verified, or the folder not be written.
    pub fn unpack(&self, line: &str, into: &Path, wanted: &[impl AsRef<str>]) -> Result<()> {
        let part = line.split(':').next().unwrap_or(line);
        let folder = self.store.join("packages").join(part);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot write to {}", folder.display()))?;
        let files = match self.fetch(Some(line), &folder, wanted) {
            // New lists may name it.
            Err(error) if error.is::<Gone>() => {
                self.lists(true)?;
                self.fetch(None, &folder, wanted)
            }
            answer => answer,
        };
        for file in files.with_context(|| format!("cannot fetch {part}"))? {
            unpack::package(&file, into)?;
        }
        fs::remove_dir_all(&folder)?;
        Ok(())
    }

    fn fetch(
        &self,
        line: Option<&str>,
        folder: &Path,
        wanted: &[impl AsRef<str>],
    ) -> Result<Vec<PathBuf>> {
        let lists = self.lists(false)?;
        let found = named(&Packages::new(&lists), wanted)?;
        if let Some(line) = line {
            let sizes = found.iter().map(|package| Ok(package.expected()?.size));
            let size: u64 = sizes.sum::<Result<_>>()?;
            say(&format!("{line} ({} MB)", size / 1_000_000 + 1));
        }
        let one = |package: &Package<'_>| {
            let path = package
                .path()
                .with_context(|| format!("the list lacks {package}'s file"))?;
            let name = path.rsplit('/').next().unwrap_or(path);
            let file = folder.join(name);
            let url = format!("{}/{path}", package.list.mirror);
            self.client.file(&url, &file, &package.expected()?)?;
            Ok(file)
        };
        found.iter().map(one).collect()
    }
}

fn named<'a>(packages: &Packages<'a>, names: &[impl AsRef<str>]) -> Result<Vec<Package<'a>>> {
    let names = names.iter().map(AsRef::as_ref);
    names.map(|name| packages.named(name)).collect()
}
