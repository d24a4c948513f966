// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Fetches packages from a Debian archive: `irqbed-archive --store FOLDER --suites
//! 'main/trixie ...' COMMAND`. What it fetches is verified by the archive's signatures,
//! whose keys it brings along; of the system it needs nothing. Where it has apt, that is
//! asked for a mirror. The recipes in `images/` call it.

use std::{
    fs::{self, File},
    io::{self, BufReader, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use irqbed_archive::{
    compression,
    fetch::{self, Client, Gone},
    lists::Lists,
    mirror::{self, Kind, Suite},
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

#[derive(Parser)]
struct Arguments {
    /// Where lists and packages are kept
    #[arg(long, default_value = ".")]
    store: PathBuf,
    /// The suites to look in, as `main/trixie security/trixie-security`
    #[arg(long, value_delimiter = ' ')]
    suites: Vec<Suite>,
    /// A keyring to trust, in place of Debian's
    #[arg(long)]
    keys: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print where packages come from
    Mirror { kind: Kind },
    /// Print the newest version of a package, or nothing
    Newest { package: String },
    /// Print VERSION where an archive has it, else the newest, and say so; nothing where there
    /// is none
    Pinned {
        part: String,
        package: String,
        version: String,
        suite: Option<String>,
    },
    /// The same of a kernel, whose packages have its release in their names: FIXED NUMBER REST,
    /// of which a newer one has another number. The headers decide: an archive keeps images of
    /// older kernels without them
    PinnedKernel {
        fixed: String,
        number: String,
        /// May begin with a dash
        #[arg(allow_hyphen_values = true)]
        rest: String,
    },
    /// Print the names of all that a package names as what it needs
    Needs { package: String },
    /// Print packages and all that they need, NAME=VERSION each
    Closure {
        /// The suite whose versions go first
        preferred: String,
        #[arg(required = true)]
        packages: Vec<String>,
    },
    /// Print what packages take when they are unpacked, MiB
    Size { packages: Vec<String> },
    /// Fetch packages, and unpack them into a folder
    Unpack {
        part: String,
        into: PathBuf,
        #[arg(required = true)]
        packages: Vec<String>,
    },
    /// Print what was compressed by xz, zstd or gzip
    Plain { file: PathBuf },
}

fn say(text: &str) {
    eprintln!("setup: {text}");
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let room = if fetch::no_room(&error) {
                ": the disk is full, make room and run again"
            } else {
                ""
            };
            say(&format!("error: {error:#}{room}"));
            ExitCode::FAILURE
        }
    }
}

/// What commands read.
struct Archive<'a> {
    arguments: &'a Arguments,
    keys: Keys,
    client: Client,
}

impl<'a> Archive<'a> {
    fn new(arguments: &'a Arguments) -> Result<Self> {
        let mut keys = match &arguments.keys {
            Some(path) => {
                let keyring = fs::read(path);
                Keys::read(&keyring.with_context(|| format!("cannot read {}", path.display()))?)
            }
            None => Keys::read(KEYS),
        };
        if arguments.keys.is_none() {
            let keyrings = KEYRINGS.iter().filter_map(|path| fs::read(path).ok());
            keyrings.for_each(|keyring| keys.extend(Keys::read(&keyring)));
        }
        Ok(Self {
            arguments,
            keys,
            client: Client::new()?,
        })
    }

    fn lists(&self, anew: bool) -> Result<Vec<List>> {
        let lists = Lists {
            folder: self.arguments.store.join("lists"),
            keys: &self.keys,
            client: &self.client,
        };
        let suites = self.arguments.suites.iter();
        suites.map(|suite| lists.open(suite, anew)).collect()
    }

    /// Fetches packages into a folder; with new lists, where these name what is gone.
    fn fetch(&self, part: &str, folder: &Path, wanted: &[String]) -> Result<Vec<PathBuf>> {
        let fetch = |anew| {
            let lists = self.lists(anew)?;
            let packages = Packages::new(&lists);
            let found: Vec<Package<'_>> = wanted
                .iter()
                .map(|name| packages.named(name))
                .collect::<Result<_>>()?;
            if !anew {
                let sizes = found.iter().map(|package| Ok(package.expected()?.size));
                let size: u64 = sizes.sum::<Result<_>>()?;
                say(&format!("{part} ({} MB)", size / 1_000_000 + 1));
            }
            self.files(folder, &found)
        };
        match fetch(false) {
            Err(error) if error.is::<Gone>() => fetch(true),
            answer => answer,
        }
    }

    fn files(&self, folder: &Path, packages: &[Package<'_>]) -> Result<Vec<PathBuf>> {
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
        packages.iter().map(one).collect()
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let mut out = io::stdout().lock();
    match &arguments.command {
        Command::Mirror { kind } => writeln!(out, "{}", mirror::of(*kind)?.url)?,
        Command::Plain { file } => {
            let open = File::open(file).with_context(|| format!("cannot read {}", file.display()));
            let copied = compression::plain(BufReader::new(open?))
                .and_then(|mut content| io::copy(&mut content, &mut out));
            copied.with_context(|| format!("{} is damaged", file.display()))?;
        }
        Command::Unpack {
            part,
            into,
            packages,
        } => {
            let archive = Archive::new(arguments)?;
            let name = part.split(':').next().unwrap_or(part);
            let folder = arguments.store.join("packages").join(name);
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot write to {}", folder.display()))?;
            let files = archive
                .fetch(part, &folder, packages)
                .with_context(|| format!("cannot fetch {name}"))?;
            for file in files {
                unpack::package(&file, into)?;
            }
            fs::remove_dir_all(&folder)?;
        }
        command => {
            let lists = Archive::new(arguments)?.lists(false)?;
            look_up(command, &Packages::new(&lists), &mut out)?;
        }
    }
    Ok(())
}

fn look_up(command: &Command, packages: &Packages<'_>, out: &mut impl Write) -> Result<()> {
    let named = |names: &[String]| -> Result<Vec<Package<'_>>> {
        names.iter().map(|name| packages.named(name)).collect()
    };
    match command {
        Command::Newest { package } => {
            if let Some(newest) = packages.newest(package, None) {
                writeln!(out, "{}", newest.version)?;
            }
        }
        Command::Pinned {
            part,
            package,
            version,
            suite,
        } => {
            let pinned = packages.exactly(package, version);
            let newest = || packages.newest(package, suite.as_deref());
            if let Some(found) = pinned.or_else(newest) {
                moved_on(part, version, found.version);
                writeln!(out, "{}", found.version)?;
            }
        }
        Command::PinnedKernel {
            fixed,
            number,
            rest,
        } => {
            let begin = format!("linux-headers-{fixed}");
            let kernels = packages.between(&begin, rest);
            let numbers: Vec<u64> = kernels.filter_map(|number| number.parse().ok()).collect();
            let pinned = number
                .parse()
                .ok()
                .filter(|pinned| numbers.contains(pinned));
            if let Some(found) = pinned.or_else(|| numbers.into_iter().max()) {
                let release = |number: &str| format!("{fixed}{number}{rest}");
                let found = release(&found.to_string());
                moved_on("kernel", &release(number), &found);
                writeln!(out, "{found}")?;
            }
        }
        Command::Needs { package } => {
            for name in packages.named(package)?.needed_names() {
                writeln!(out, "{name}")?;
            }
        }
        Command::Closure {
            preferred,
            packages: names,
        } => {
            let wanted = named(names)?;
            for package in packages.closure(&wanted, preferred)? {
                writeln!(out, "{package}")?;
            }
        }
        Command::Size { packages: names } => {
            let wanted = named(names)?;
            let kib: u64 = wanted.iter().map(Package::installed_kib).sum();
            writeln!(out, "{}", kib / 1024)?;
        }
        Command::Mirror { .. } | Command::Unpack { .. } | Command::Plain { .. } => {}
    }
    Ok(())
}

fn moved_on(part: &str, from: &str, to: &str) {
    if from != to {
        say(&format!(
            "{part}: the archive has moved on from {from} to {to}"
        ));
    }
}
