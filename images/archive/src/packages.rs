// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The packages of some suites, and all that one of them needs.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    fmt,
};

use anyhow::{Context, Result, bail};

use crate::{fetch::Expected, version};

/// A list of packages.
pub struct List {
    /// The suite that it is of.
    pub suite: String,
    /// The mirror that it came from.
    pub mirror: String,
    /// Whether its packages are taken only where they are asked for, as backports are.
    pub only_if_asked: bool,
    /// A paragraph for each.
    pub text: String,
}

/// A version of a package.
#[derive(Clone, Copy)]
pub struct Package<'a> {
    /// As in `apt install NAME`.
    pub name: &'a str,
    /// As Debian Policy writes it.
    pub version: &'a str,
    /// Where it is listed.
    pub list: &'a List,
    paragraph: &'a str,
}

impl fmt::Display for Package<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.version)
    }
}

impl<'a> Package<'a> {
    fn read(paragraph: &'a str, list: &'a List) -> Option<Self> {
        Some(Self {
            name: field(paragraph, "Package")?,
            version: field(paragraph, "Version")?,
            list,
            paragraph,
        })
    }

    fn field(&self, name: &str) -> Option<&'a str> {
        field(self.paragraph, name)
    }

    /// Groups of alternatives, one of each of which it needs.
    fn needs(&self) -> impl Iterator<Item = Vec<Relation<'a>>> {
        let fields = ["Pre-Depends", "Depends"];
        let groups = fields.into_iter().filter_map(|name| self.field(name));
        groups
            .flat_map(|field| field.split(','))
            .map(|group| group.split('|').filter_map(Relation::read).collect())
    }

    /// What it names as what it needs, alternatives too.
    pub fn needed_names(&self) -> impl Iterator<Item = &'a str> {
        self.needs().flatten().map(|relation| relation.name)
    }

    /// Names that it stands for, and the versions of them that it states.
    fn provides(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let provided = self
            .field("Provides")
            .into_iter()
            .flat_map(|field| field.split(','));
        provided.filter_map(Relation::read).map(|relation| {
            let version = relation.version.map(|(_, version)| version);
            (relation.name, version)
        })
    }

    /// Where it lies below the mirror.
    #[must_use]
    pub fn path(&self) -> Option<&'a str> {
        // The mirror is not to name files of anybody else.
        self.field("Filename").filter(|path| !path.contains(".."))
    }

    /// Size and hash of its file.
    ///
    /// # Errors
    ///
    /// The list does not say.
    pub fn expected(&self) -> Result<Expected> {
        let hash = self.field("SHA256");
        let size = self.field("Size").and_then(|size| size.parse().ok());
        let missing = || {
            format!(
                "the list of {} lacks size or hash of {self}",
                self.list.suite
            )
        };
        Ok(Expected {
            hash: hash.with_context(missing)?.to_owned(),
            size: size.with_context(missing)?,
        })
    }

    /// What it takes when it is unpacked, KiB.
    #[must_use]
    pub fn installed_kib(&self) -> u64 {
        let size = self
            .field("Installed-Size")
            .and_then(|size| size.parse().ok());
        size.unwrap_or_default()
    }
}

fn field<'a>(paragraph: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = paragraph;
    loop {
        if let Some(value) = rest
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(':'))
        {
            return Some(value.split('\n').next().unwrap_or_default().trim());
        }
        rest = rest.split_once('\n')?.1;
    }
}

/// A package that another one needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Relation<'a> {
    name: &'a str,
    /// In which order its version is to be to this one.
    version: Option<(&'a str, &'a str)>,
}

impl<'a> Relation<'a> {
    /// Reads `name:any (>= 1.0)`; `name=1.0` is for one of a user's.
    fn read(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (name, rest) = text.split_once(['(', ' ', '[', '<']).unwrap_or((text, ""));
        let name = name.split(':').next()?.trim();
        if name.is_empty() {
            return None;
        }
        let (rest, _) = rest.split_once(')').unwrap_or(("", ""));
        let condition = rest.trim_start_matches(['(', ' ']);
        let end = condition.find(|c: char| !"<>=".contains(c));
        let version = end.filter(|end| *end > 0).map(|end| {
            let (relation, version) = condition.split_at(end);
            (relation, version.trim())
        });
        Some(Self { name, version })
    }

    /// Whether a version will do; what stands for a package may state none.
    fn takes(&self, version: Option<&str>) -> bool {
        let Some((relation, wanted)) = self.version else {
            return true;
        };
        let Some(version) = version else {
            return false;
        };
        let order = version::compare(version, wanted);
        match relation {
            "<<" => order.is_lt(),
            "<=" | "<" => order.is_le(),
            "=" => order.is_eq(),
            ">=" | ">" => order.is_ge(),
            ">>" => order.is_gt(),
            _ => false,
        }
    }
}

/// All packages of some lists.
pub struct Packages<'a> {
    by_name: HashMap<&'a str, Vec<Package<'a>>>,
    providers: HashMap<&'a str, Vec<(Package<'a>, Option<&'a str>)>>,
}

impl<'a> Packages<'a> {
    /// Reads the lists.
    #[must_use]
    pub fn new(lists: &'a [List]) -> Self {
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        let mut providers: HashMap<_, Vec<_>> = HashMap::new();
        for list in lists {
            for paragraph in list.text.split("\n\n") {
                let Some(package) = Package::read(paragraph, list) else {
                    continue;
                };
                by_name.entry(package.name).or_default().push(package);
                for (name, version) in package.provides() {
                    providers.entry(name).or_default().push((package, version));
                }
            }
        }
        Self { by_name, providers }
    }

    fn versions(&self, name: &str) -> impl Iterator<Item = Package<'a>> {
        self.by_name.get(name).into_iter().flatten().copied()
    }

    /// The newest version of a package, of one suite if one is named.
    #[must_use]
    pub fn newest(&self, name: &str, suite: Option<&str>) -> Option<Package<'a>> {
        self.versions(name)
            .filter(|package| suite.is_none_or(|suite| package.list.suite == suite))
            .max_by(|one, other| version::compare(one.version, other.version))
    }

    /// The package of this name and version.
    #[must_use]
    pub fn exactly(&self, name: &str, version: &str) -> Option<Package<'a>> {
        self.versions(name)
            .find(|package| package.version == version)
    }

    /// What stands between in the names of packages that begin and end so.
    pub fn between<'b>(&self, begin: &'b str, end: &'b str) -> impl Iterator<Item = &'a str> {
        let names = self.by_name.keys();
        names.filter_map(move |name| name.strip_prefix(begin)?.strip_suffix(end))
    }

    /// One that a user names, as `NAME` or `NAME=VERSION`.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn named(&self, text: &str) -> Result<Package<'a>> {
        let found = match text.split_once('=') {
            Some((name, version)) => self.exactly(name, version),
            None => self.newest(text, None),
        };
        found.with_context(|| format!("the archive has no {text}"))
    }

    /// These packages and all that they need, ordered by name. Versions of the preferred suite
    /// go before newer ones of others.
    ///
    /// # Errors
    ///
    /// The archive lacks something.
    pub fn closure(&self, wanted: &[Package<'a>], preferred: &str) -> Result<Vec<Package<'a>>> {
        let mut chosen: BTreeMap<&str, Package<'_>> = BTreeMap::new();
        let mut left: Vec<Package<'_>> = wanted.iter().rev().copied().collect();
        chosen.extend(wanted.iter().map(|package| (package.name, *package)));
        while let Some(package) = left.pop() {
            for alternatives in package.needs() {
                if alternatives.is_empty()
                    || alternatives
                        .iter()
                        .any(|relation| is_met(relation, &chosen))
                {
                    continue;
                }
                let found = alternatives
                    .iter()
                    .find_map(|relation| self.candidate(relation, preferred));
                let Some(found) = found else {
                    let names: Vec<_> = alternatives.iter().map(|one| one.name).collect();
                    bail!(
                        "{package} needs {}, which the archive lacks",
                        names.join(" or ")
                    );
                };
                if let Some(other) = chosen.insert(found.name, found) {
                    bail!("{package} needs {found}, and another one {other}");
                }
                left.push(found);
            }
        }
        Ok(chosen.into_values().collect())
    }

    fn candidate(&self, relation: &Relation<'_>, preferred: &str) -> Option<Package<'a>> {
        let rank = |package: &Package<'_>| match package.list {
            list if list.suite == preferred => 2,
            list if list.only_if_asked => 0,
            _ => 1,
        };
        let better = |one: &Package<'_>, other: &Package<'_>| -> Ordering {
            rank(one)
                .cmp(&rank(other))
                .then_with(|| version::compare(one.version, other.version))
        };
        let itself = self
            .versions(relation.name)
            .filter(|package| relation.takes(Some(package.version)))
            .max_by(better);
        itself.or_else(|| {
            let providers = self.providers.get(relation.name).into_iter().flatten();
            providers
                .filter(|(_, version)| relation.takes(*version))
                .map(|(package, _)| *package)
                // Of equal ones the first by name.
                .max_by(|one, other| {
                    rank(one)
                        .cmp(&rank(other))
                        .then_with(|| other.name.cmp(one.name))
                })
        })
    }
}

fn is_met(relation: &Relation<'_>, chosen: &BTreeMap<&str, Package<'_>>) -> bool {
    let itself = chosen.get(relation.name);
    itself.is_some_and(|package| relation.takes(Some(package.version)))
        || chosen.values().any(|package| {
            let mut provided = package.provides();
            provided.any(|(name, version)| name == relation.name && relation.takes(version))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(suite: &str, only_if_asked: bool, text: &str) -> List {
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        List {
            suite: suite.to_owned(),
            mirror: "file:///mirror".to_owned(),
            only_if_asked,
            text: lines.join("\n"),
        }
    }

    #[track_caller]
    fn assert_closure(lists: &[List], wanted: &str, preferred: &str, expected: &[&str]) {
        let packages = Packages::new(lists);
        let wanted = packages.named(wanted).expect("it is there");
        let closure = packages
            .closure(&[wanted], preferred)
            .expect("all is there");
        let names: Vec<_> = closure.iter().map(ToString::to_string).collect();
        assert_eq!(names, expected);
    }

    const STABLE: &str = "
        Package: tool
        Version: 1
        Pre-Depends: libc6 (>= 2.36)
        Depends: shell:any | bash, mailer, gone (<< 1) | libz (>= 1.2), libc6

        Package: libc6
        Version: 2.36
        Provides: libc

        Package: libz
        Version: 1.3
        Depends: libc

        Package: bash
        Version: 5

        Package: exim
        Version: 4
        Provides: mailer (= 4)

        Package: dma
        Version: 0.1
        Provides: mailer (= 1), other";
    const BACKPORTS: &str = "
        Package: tool
        Version: 2~bpo
        Depends: libc6, libz (>= 1.4)

        Package: libz
        Version: 1.4~bpo
        Depends: libc6

        Package: libz
        Version: 1.5~bpo
        Depends: libc6";

    #[test]
    fn a_closure_has_the_first_alternative_that_is_there() {
        let lists = [list("stable", false, STABLE)];
        let expected = ["bash=5", "dma=0.1", "libc6=2.36", "libz=1.3", "tool=1"];
        assert_closure(&lists, "tool", "stable", &expected);
    }

    #[test]
    fn what_is_backported_is_taken_where_it_is_preferred_or_needed() {
        let lists = [
            list("stable", false, STABLE),
            list("backports", true, BACKPORTS),
        ];
        let expected = ["bash=5", "dma=0.1", "libc6=2.36", "libz=1.3", "tool=1"];
        assert_closure(&lists, "tool=1", "stable", &expected);
        let expected = ["bash=5", "dma=0.1", "libc6=2.36", "libz=1.5~bpo", "tool=1"];
        assert_closure(&lists, "tool=1", "backports", &expected);
        let expected = ["libc6=2.36", "libz=1.5~bpo", "tool=2~bpo"];
        assert_closure(&lists, "tool", "stable", &expected);
    }

    #[test]
    fn what_the_archive_lacks_is_named() {
        let lists = [list(
            "stable",
            false,
            "Package: tool\nVersion: 1\nDepends: gone (>= 3) | lost",
        )];
        let packages = Packages::new(&lists);
        assert!(packages.named("other").is_err());
        assert!(packages.named("tool=2").is_err());
        let tool = packages.named("tool=1").expect("it is there");
        let error = packages.closure(&[tool], "stable").map(|_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "tool=1 needs gone or lost, which the archive lacks"
        );
    }

    #[test]
    fn relations_are_read() {
        let relation = |text| Relation::read(text).expect("a relation");
        for (text, name, version) in [
            ("libc6 (>= 2.36)", "libc6", Some((">=", "2.36"))),
            ("libc6(=2.36)", "libc6", Some(("=", "2.36"))),
            (" python3:any ", "python3", None),
            ("a [amd64] <!nocheck>", "a", None),
            ("a (<< 1:2.0-1~) [amd64]", "a", Some(("<<", "1:2.0-1~"))),
        ] {
            assert_eq!(relation(text), Relation { name, version }, "{text}");
        }
        assert!(relation("a (>= 1.0~rc1)").takes(Some("1.0")));
        assert!(!relation("a (<< 1.0)").takes(Some("1.0")));
        assert_eq!(Relation::read(" "), None);
    }
}
