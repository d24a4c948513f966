// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tools that the system does not have, in `.irqbed/tools/bin`, without what their packages
//! ask for and we do not use.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    LIBRARIES, LOADER, Setup,
    store::{entries, is_sealed, remove, write_script},
};

struct Tool {
    name: &'static str,
    archive: &'static str,
    program: &'static str,
    /// The first one has the version.
    packages: &'static [&'static str],
    /// Variables that it finds its data by.
    environment: &'static str,
    /// The variable of `images/versions` with the version that it must have.
    pinned: Option<&'static str>,
    /// Goes into a guest: it must be this one, whatever the system has.
    for_guests: bool,
}

const fn tool(
    name: &'static str,
    program: &'static str,
    packages: &'static [&'static str],
) -> Tool {
    Tool {
        name,
        archive: "bookworm",
        program,
        packages,
        environment: "",
        pinned: None,
        for_guests: false,
    }
}

/// The packages are those beside the C library of Debian 12.
const TOOLS: [Tool; 8] = [
    Tool {
        pinned: Some("BUSYBOX_VERSION"),
        for_guests: true,
        ..tool("busybox", "bin/busybox", &["busybox-static"])
    },
    tool("make", "usr/bin/make", &["make"]),
    // They write a kernel's parsers, and find m4 and their data not by themselves.
    Tool {
        environment: "M4=$here/usr/bin/m4 ",
        ..tool("flex", "usr/bin/flex", &["flex", "m4"])
    },
    Tool {
        environment: "M4=$here/usr/bin/m4 BISON_PKGDATADIR=$here/usr/share/bison ",
        ..tool("bison", "usr/bin/bison", &["bison", "m4"])
    },
    tool("sparse", "usr/bin/sparse", &["sparse"]),
    tool(
        "shellcheck",
        "usr/bin/shellcheck",
        &["shellcheck", "libgmp10", "libffi8"],
    ),
    // For the guest of the benches, which has no libraries of its own.
    Tool {
        for_guests: true,
        ..tool(
            "cyclictest",
            "usr/bin/cyclictest",
            &["rt-tests", "libnuma1", "libc6"],
        )
    },
    // Debian 12 has none; the one of its successor needs a newer C library.
    Tool {
        archive: "trixie",
        ..tool("just", "usr/bin/just", &["just", "libc6", "libgcc-s1"])
    },
];

impl Setup {
    /// Makes these available; ours even where the system has one, if `ours`.
    ///
    /// # Errors
    ///
    /// One cannot be had.
    pub fn tools(&self, names: &[&str], ours: bool) -> Result<()> {
        for name in names {
            let tool = TOOLS.iter().find(|tool| tool.name == *name);
            let tool = tool.with_context(|| {
                let known: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
                format!("there is no tool {name}: there are {}", known.join(", "))
            })?;
            if ours || tool.for_guests || !self.system_has(name) {
                self.install(tool)?;
            }
        }
        Ok(())
    }

    /// Where a tool of ours is.
    pub(crate) fn tool(&self, name: &str, program: &str) -> PathBuf {
        self.place(&format!("tools/{name}")).join(program)
    }

    fn system_has(&self, name: &str) -> bool {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut folders = env::split_paths(&path);
        let ours = self.tool_folders();
        folders.any(|folder| !ours.contains(&folder) && folder.join(name).is_file())
    }

    fn install(&self, tool: &Tool) -> Result<()> {
        let home = self.place(&format!("tools/{}", tool.name));
        let mut recipe = format!("1 {}", tool.packages.join(" "));
        if let Some(variable) = tool.pinned {
            recipe = format!("{recipe} {}", self.versions.get(variable));
        }
        let link = self.place(&format!("tools/bin/{}", tool.name));
        if link.is_file() && is_sealed(&home, &recipe) {
            return Ok(());
        }
        self.store
            .part(&home, &recipe, |new| self.unpack(tool, new))?;
        self.store.lock()?;
        fs::create_dir_all(self.store.path("tools/bin"))?;
        let new = link.with_extension("new");
        fs::copy(home.join("launch"), &new)?;
        Ok(fs::rename(new, link)?)
    }

    fn unpack(&self, tool: &Tool, new: &Path) -> Result<()> {
        let archive = self.archive(tool.archive)?;
        let mut packages: Vec<String> = tool.packages.iter().map(ToString::to_string).collect();
        let package = tool.packages.first().copied().unwrap_or(tool.name);
        let found = match tool.pinned {
            Some(variable) => {
                let version = self.versions.get(variable);
                archive.pinned(tool.name, package, version, None)?
            }
            None => archive.newest(package)?,
        };
        let found = found.with_context(|| format!("the Debian mirror has no {package}"))?;
        if let Some(first) = packages.first_mut() {
            *first = format!("{package}={found}");
        }
        archive.unpack(&format!("{}: fetching {found}", tool.name), new, &packages)?;
        for entry in entries(&new.join("usr/share")) {
            if entry.file_name().is_some_and(|name| name != "bison") {
                remove(&entry)?;
            }
        }
        let launch = if new.join(LIBRARIES).join(LOADER).exists() {
            format!("exec \"$here/{LIBRARIES}/{LOADER}\" --library-path \"$here/{LIBRARIES}\"")
        } else if new.join(LIBRARIES).exists() {
            format!("LD_LIBRARY_PATH=$here/{LIBRARIES} exec")
        } else {
            format!("{}exec", tool.environment)
        };
        let text = format!(
            "here=${{0%/*}}/../{}\n{launch} \"$here/{}\" \"$@\"\n",
            tool.name, tool.program
        );
        write_script(&new.join("launch"), &text)
    }
}
