// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where packages come from: a mirror that the user names, else the one that the
//! system's own apt has, with its proxies.

use std::{collections::BTreeMap, env, fmt, process::Command, str::FromStr, sync::OnceLock};

use anyhow::{Result, bail, ensure};

/// What a user names a mirror by.
pub const VARIABLE: &str = "IRQBED_DEBIAN_MIRROR";

/// One of Debian's archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The packages.
    Main,
    /// Their security updates.
    Security,
}

/// A suite of one of them, as `main/trixie`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// The archive.
    pub kind: Kind,
    /// Its code name, as `trixie`.
    pub name: String,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "main" => Ok(Self::Main),
            "security" => Ok(Self::Security),
            _ => Err(format!("{text:?} is neither main nor security")),
        }
    }
}

impl FromStr for Suite {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('/').ok_or("as main/trixie")?;
        Ok(Self {
            kind: kind.parse()?,
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A mirror, and what is known of it.
pub struct Mirror {
    /// Without a slash at its end.
    pub url: String,
    /// Whether its lists may be older than they say of themselves: a user may name an
    /// archive of former times, and a system may tell its apt so.
    pub may_be_old: bool,
}

/// The mirror of one of the archives.
///
/// # Errors
///
/// Nobody knows one, or it is read in a way of apt's own.
pub fn of(kind: Kind) -> Result<Mirror> {
    if let Some(main) = env::var(VARIABLE).ok().filter(|url| !url.is_empty()) {
        ensure!(
            is_read(&main),
            "{VARIABLE} is {main:?}, and no mirror: http://HOST/debian is one, also by https:// or file://"
        );
        return Ok(Mirror {
            url: belonging_to(&main, kind),
            may_be_old: true,
        });
    }
    let known = apt_knows(kind).or_else(|| Some(belonging_to(&apt_knows(Kind::Main)?, kind)));
    let Some(url) = known else {
        bail!("no Debian mirror is known here: name one, {VARIABLE}=http://HOST/debian");
    };
    ensure!(
        is_read(&url),
        "apt reads {url} in a way of its own: name a mirror, {VARIABLE}=http://HOST/debian"
    );
    let may_be_old = setting("Acquire::Check-Valid-Until").is_some_and(|value| value == "false");
    Ok(Mirror { url, may_be_old })
}

fn is_read(url: &str) -> bool {
    let ways = ["http://", "https://", "file:"];
    ways.iter().any(|way| url.starts_with(way))
}

/// The security updates that belong to a mirror lie beside it.
fn belonging_to(main: &str, kind: Kind) -> String {
    let main = main.trim_end_matches('/');
    match kind {
        Kind::Main => main.to_owned(),
        Kind::Security => format!("{main}-security"),
    }
}

/// Suites that only Debian has.
const SUITES: [&str; 11] = [
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "stable",
    "oldstable",
    "oldoldstable",
    "testing",
    "sid",
];

/// What the system's apt has of one of the archives.
fn apt_knows(kind: Kind) -> Option<String> {
    // A system whose lists were never fetched cannot say whose a suite is. Should the
    // guess be wrong, the signatures do not fit.
    static TARGETS: OnceLock<String> = OnceLock::new();
    let targets = TARGETS.get_or_init(|| {
        let answers = ["--release-info", "--no-release-info"].map(|info| {
            let format = "$(RELEASE) $(COMPONENT) $(REPO_URI) $(ORIGIN)";
            output("apt-get", &["indextargets", info, "--format", format])
        });
        answers.concat()
    });
    chosen(targets, kind)
}

/// The best of what apt says of its lists: suite, component, address and origin.
fn chosen(targets: &str, kind: Kind) -> Option<String> {
    let mut guess = None;
    for line in targets.lines() {
        let mut words = line.split_whitespace();
        let (Some(release), Some("main"), Some(url)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let updates = ["-security", "/updates"];
        let name = match kind {
            Kind::Main => Some(release),
            Kind::Security => updates.iter().find_map(|end| release.strip_suffix(end)),
        };
        if !name.is_some_and(|name| SUITES.contains(&name)) {
            continue;
        }
        let url = url.trim_end_matches('/').to_owned();
        match words.next() {
            Some("Debian") => return Some(url),
            Some(origin) if !origin.starts_with('$') => {}
            _ => {
                let is_usual = url.ends_with("/debian") || url.ends_with("/debian-security");
                if guess.is_none() || is_usual {
                    guess = Some(url);
                }
            }
        }
    }
    guess
}

/// A setting of the system's apt, as `Acquire::http::Proxy`.
#[must_use]
pub fn setting(name: &str) -> Option<String> {
    static SETTINGS: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    let settings = SETTINGS.get_or_init(|| {
        let dump = output("apt-config", &["dump", "--format", "%F=%v%n"]);
        let pairs = dump.lines().filter_map(|line| line.split_once('='));
        pairs
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect()
    });
    settings.get(&name.to_lowercase()).cloned()
}

/// What a program prints, if it is there.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_chosen(targets: &str, main: Option<&str>, security: Option<&str>) {
        assert_eq!(chosen(targets, Kind::Main).as_deref(), main);
        assert_eq!(chosen(targets, Kind::Security).as_deref(), security);
    }

    #[test]
    fn a_mirror_is_debians_by_its_origin() {
        assert_chosen(
            "noble main http://a/ubuntu/ Ubuntu\n\
             bookworm contrib http://b/debian/ Debian\n\
             bookworm main http://c/debian/ Debian\n\
             bookworm-security main http://d/debian-security/ Debian\n\
             stable main http://e/apt/ Somebody\n",
            Some("http://c/debian"),
            Some("http://d/debian-security"),
        );
    }

    #[test]
    fn without_lists_the_name_of_a_suite_decides() {
        assert_chosen(
            "stable main http://a/tools/ $(ORIGIN)\n\
             trixie main http://b/debian/ $(ORIGIN)\n\
             bullseye/updates main http://c/debian-security/ $(ORIGIN)\n",
            Some("http://b/debian"),
            Some("http://c/debian-security"),
        );
        assert_chosen("noble main http://a/ubuntu/ $(ORIGIN)\n", None, None);
        assert_chosen("", None, None);
    }
}
