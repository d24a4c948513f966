// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An archive's lists of packages: fetched where they are old, and verified from the
//! signature on each time that they are read, so that what was damaged or changed on
//! disk is fetched anew.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    compression::plain,
    fetch::{self, Client, Expected, hash_of},
    mirror::{self, Suite},
    openpgp::Keys,
    packages::List,
};

/// How long a list is not asked for again.
const FRESH: Duration = Duration::from_secs(3600);
/// The longest description of a suite.
const MOST: u64 = 16 << 20;
const INDEX: &str = "main/binary-amd64/Packages";

/// What a suite says of itself: the text of its `InRelease`, verified.
struct Release(String);

impl Release {
    fn field(&self, name: &str) -> Option<&str> {
        let lines = self.0.lines();
        lines
            .take_while(|line| !line.starts_with("SHA256:"))
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    }

    /// Size and hash of a file of the suite.
    fn expected(&self, file: &str) -> Option<Expected> {
        let lines = self
            .0
            .lines()
            .skip_while(|line| !line.starts_with("SHA256:"));
        lines
            .skip(1)
            .take_while(|line| line.starts_with(' '))
            .find_map(|line| {
                let mut words = line.split_whitespace();
                let (hash, size, name) = (words.next()?, words.next()?, words.next()?);
                (name == file).then_some(Expected {
                    size: size.parse().ok()?,
                    hash: hash.to_lowercase(),
                })
            })
    }

    fn is_of(&self, suite: &str) -> bool {
        ["Codename", "Suite"]
            .iter()
            .any(|name| self.field(name) == Some(suite))
    }
}

/// Where lists are kept, and by what they are verified.
pub struct Lists<'a> {
    /// For the lists.
    pub folder: PathBuf,
    /// One of these signed a list.
    pub keys: &'a Keys,
    /// Who asks the mirrors.
    pub client: &'a Client,
}

/// What is kept of a suite.
struct Kept<'a> {
    suite: &'a Suite,
    mirror: mirror::Mirror,
    description: PathBuf,
    index: PathBuf,
}

impl Lists<'_> {
    /// The list of a suite; a new one if it is older than an hour, or `anew`.
    ///
    /// # Errors
    ///
    /// It cannot be had, or is not to be trusted.
    pub fn open(&self, suite: &Suite, anew: bool) -> Result<List> {
        let mirror = mirror::of(suite.kind)?;
        // Lists of another mirror are others.
        let name: String = format!("{}_{suite}", mirror.url)
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '-' {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        let kept = Kept {
            description: self.folder.join(format!("{name}.InRelease")),
            index: self.folder.join(format!("{name}.Packages")),
            suite,
            mirror,
        };
        let is_fresh = |path: &Path| {
            let changed = fs::metadata(path).and_then(|metadata| metadata.modified());
            changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age < FRESH))
        };
        if !anew
            && is_fresh(&kept.description)
            && let Ok(list) = self.read(&kept)
        {
            return Ok(list);
        }
        self.update(&kept)
            .with_context(|| format!("cannot have the list of {suite}"))?;
        self.read(&kept)
    }

    /// The list that is kept.
    fn read(&self, kept: &Kept<'_>) -> Result<List> {
        let release = self.trust(kept, &fs::read_to_string(&kept.description)?)?;
        let expected = index(&release, kept.suite)?;
        let text = fs::read_to_string(&kept.index)?;
        ensure!(
            hash_of(text.as_bytes())? == expected.hash,
            "the list is damaged"
        );
        Ok(List {
            suite: kept.suite.name.clone(),
            mirror: kept.mirror.url.clone(),
            only_if_asked: release.field("NotAutomatic") == Some("yes"),
            text,
        })
    }

    /// Verifies what a suite says of itself.
    fn trust(&self, kept: &Kept<'_>, message: &str) -> Result<Release> {
        let suite = kept.suite;
        let now = SystemTime::now();
        let release = Release(self.keys.verify(message, now)?);
        if !release.is_of(&suite.name) {
            bail!(
                "{} has another suite in the place of {suite}",
                kept.mirror.url
            );
        }
        if let Some(until) = release.field("Valid-Until")
            && !kept.mirror.may_be_old
            && seconds_of(until).is_none_or(|until| until < now)
        {
            bail!(
                "the list ended on {until}: the mirror is not up to date, or this machine's clock is wrong"
            );
        }
        Ok(release)
    }

    fn update(&self, kept: &Kept<'_>) -> Result<()> {
        let Kept { suite, mirror, .. } = kept;
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot write to {}", self.folder.display()))?;
        let folder = format!("{}/dists/{suite}", mirror.url);
        let message = self.client.text(&format!("{folder}/InRelease"), MOST)?;
        let release = self.trust(kept, &message)?;
        let expected = index(&release, suite)?;
        if !fetch::is(&kept.index, &expected) {
            let by_hash = release.field("Acquire-By-Hash") == Some("yes");
            let (name, packed) = [".xz", ".gz", ""]
                .iter()
                .map(|end| format!("{INDEX}{end}"))
                .find_map(|name| release.expected(&name).map(|expected| (name, expected)))
                .context("it names no list of packages")?;
            // A mirror may change while it is read.
            let url = match name.rsplit_once('/') {
                Some((place, _)) if by_hash => {
                    format!("{folder}/{place}/by-hash/SHA256/{}", packed.hash)
                }
                _ => format!("{folder}/{name}"),
            };
            let file = kept.index.with_extension("packed");
            self.client.file(&url, &file, &packed)?;
            let mut text = Vec::new();
            plain(&fs::read(&file)?[..])?
                .take(expected.size + 1)
                .read_to_end(&mut text)
                .context("the list is damaged")?;
            write(&kept.index, &text)?;
            fs::remove_file(&file)?;
        }
        write(&kept.description, message.as_bytes())
    }
}

fn index(release: &Release, suite: &Suite) -> Result<Expected> {
    let expected = release.expected(INDEX);
    expected.with_context(|| format!("{suite} has no packages for this processor"))
}

/// Writes a file as a whole or not at all.
fn write(path: &Path, content: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, content)
        .and_then(|()| fs::rename(&new, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The moment of `Sat, 05 Dec 2026 14:09:31 UTC`.
fn seconds_of(date: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = date.split([' ', ':']).skip(1);
    let number = |words: &mut dyn Iterator<Item = &str>| words.next()?.parse::<u64>().ok();
    let day = number(&mut words)?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let year = number(&mut words)?;
    let (hour, minute, second) = (
        number(&mut words)?,
        number(&mut words)?,
        number(&mut words)?,
    );
    // Days since 1970, of a year that begins in March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year.checked_sub(1)?, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    let days = days.checked_sub(719_469)?;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        for (date, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 UTC", 0),
            ("Tue, 29 Feb 2000 12:00:01 UTC", 951_825_601),
            ("Sat, 05 Dec 2026 14:09:31 UTC", 1_796_479_771),
        ] {
            let read = seconds_of(date).expect("a date");
            assert_eq!(
                read,
                SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
                "{date}"
            );
        }
        for none in [
            "",
            "soon",
            "Sat, 05 Foo 2026 14:09:31 UTC",
            "Sat, 05 Dec 1969",
        ] {
            assert_eq!(seconds_of(none), None, "{none}");
        }
    }
}
