// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Stock kernels of Debian: the image uncompressed (it boots by PVH and saves the guest the
//! unpacking) and as it was (a guest that is suspended to RAM resumes from no other), modules,
//! and the headers as a folder that modules build against, with a compiler that can. The
//! guest's own kernel is `.irqbed/kernel`, one of another name
//! `.irqbed/kernels/NAME/kernel`.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use irqbed_archive::archive::{Archive, say};

use crate::{
    LIBRARIES, Setup,
    store::{beside, entries, plain, read, remove, write_script},
    variable,
    versions::Kernel,
};

/// Programs of a kernel's makefiles, which are compiled.
const PROGRAMS: [&str; 3] = [
    "scripts/mod/modpost",
    "scripts/basic/fixdep",
    "tools/objtool/objtool",
];
/// Where there is one for several processors, Debian's own launcher chooses.
const ENDINGS: [&str; 3] = [".real-x86", ".real-lsb-64", ".real"];

/// What of a kernel is wanted.
#[derive(Clone, Copy)]
struct Wanted {
    image: bool,
    headers: bool,
}

impl Wanted {
    const ALL: Self = Self {
        image: true,
        headers: true,
    };

    /// What the user has put nothing in the place of.
    fn of_the_stock_kernel() -> Self {
        Self {
            image: variable("IRQBED_KERNEL").is_none(),
            headers: variable("IRQBED_KDIR").is_none(),
        }
    }

    fn in_words(self) -> &'static str {
        match (self.image, self.headers) {
            (true, true) => "imageheaders",
            (true, false) => "image",
            _ => "headers",
        }
    }
}

impl Setup {
    /// The names of all kernels, and which of them are here.
    #[must_use]
    pub fn kernels(&self) -> String {
        let mut lines = String::new();
        let stock = self.versions.stock_kernel();
        let here = |name: &str| {
            let release = fs::read_to_string(self.home(Some(name)).join("kernel/release"));
            release.map_or_else(
                |_| String::new(),
                |release| format!("; {} is here", release.trim()),
            )
        };
        for Kernel { name, release, .. } in self.versions.kernels() {
            let note = if name == stock {
                " (the guest's, where no other is named)"
            } else {
                ""
            };
            let here = here(&name);
            let _ = writeln!(
                lines,
                "{name:<11} Linux {}, Debian{note}{here}",
                release.concat()
            );
        }
        let debug = self.versions.debug_kernel();
        let here = here(&debug);
        let _ = writeln!(
            lines,
            "{debug:<11} built from the source of {stock}, checks locks, memory and contexts{here}"
        );
        lines
    }

    /// Fetches or builds the kernel of a name, and driver and initial file system for it.
    ///
    /// # Errors
    ///
    /// There is none of this name, or it cannot be had.
    pub fn kernel(&self, name: &str) -> Result<()> {
        // A release brings the guest's own along, as it is to be.
        if name == self.versions.stock_kernel() && self.packed != self.store.folder() {
            return Ok(());
        }
        self.kernel_alone(Some(name))?;
        self.agent()?;
        self.guest(Some(name))
    }

    /// Fetches or builds the kernel of a name; without one the guest's, but for what the user
    /// has put something in the place of.
    ///
    /// # Errors
    ///
    /// There is none of this name, or it cannot be had.
    pub fn kernel_alone(&self, name: Option<&str>) -> Result<()> {
        let wanted = match name {
            Some(_) => Wanted::ALL,
            None => Wanted::of_the_stock_kernel(),
        };
        if !wanted.image && !wanted.headers {
            return Ok(());
        }
        let name = name.unwrap_or(self.versions.stock_kernel());
        if name == self.versions.debug_kernel() {
            return self.debug_kernel();
        }
        let kernels = self.versions.kernels();
        let kernel = kernels.iter().find(|kernel| kernel.name == name);
        let kernel = kernel.with_context(|| {
            format!("there is no kernel {name}: irqbed kernel --list has the names")
        })?;
        self.fetch_kernel(kernel, wanted)
    }

    fn fetch_kernel(&self, kernel: &Kernel, wanted: Wanted) -> Result<()> {
        let home = self.home(Some(&kernel.name)).join("kernel");
        let recipe =
            |wanted: Wanted| format!("4 {} {}", kernel.release.concat(), wanted.in_words());
        let mut release = None;
        // More than is wanted will do.
        if !crate::store::is_sealed(&home, &recipe(Wanted::ALL)) {
            let made = self.store.part(&home, &recipe(wanted), |new| {
                release = Some(self.unpack_kernel(kernel, wanted, new)?);
                Ok(())
            })?;
            if let (Some(took), Some(release)) = (made, release) {
                say(&format!("kernel: {release}, ready in {} s", took.as_secs()));
            }
        }
        if wanted.headers {
            self.compiler(&home.join("build"))?;
        }
        Ok(())
    }

    fn unpack_kernel(&self, kernel: &Kernel, wanted: Wanted, new: &Path) -> Result<String> {
        let archive = self.archive(&kernel.archive)?;
        let [fixed, number, rest] = &kernel.release;
        let release = archive.pinned_kernel(fixed, number, rest)?;
        let release = release.with_context(|| {
            format!(
                "the Debian mirror has no kernel {}: put your own in place by IRQBED_KERNEL and \
                 IRQBED_KDIR",
                kernel.name
            )
        })?;
        let packages = packages(&archive, kernel, &release, wanted)?;
        let size = archive.size(&packages)?;
        self.store
            .ensure_room(size + 150, &format!("the kernel {release}"))?;
        archive.unpack(&format!("kernel: fetching {release}"), new, &packages)?;
        fs::write(new.join("release"), format!("{release}\n"))?;
        if wanted.image {
            arrange_image(new, &release).with_context(|| {
                format!("no kernel that starts by PVH came out of vmlinuz-{release}")
            })?;
        }
        if wanted.headers {
            arrange_headers(new, &release).with_context(|| format!("the headers of {release}"))?;
        }
        remove(&new.join("usr/share"))?;
        Ok(release)
    }
}

/// The packages with a kernel's image, its modules and its headers.
fn packages(
    archive: &Archive,
    kernel: &Kernel,
    release: &str,
    wanted: Wanted,
) -> Result<Vec<String>> {
    let mut packages = Vec::new();
    // This package, and those of what it needs whose names begin so.
    let mut add = |package: String, begins: &[&str]| -> Result<()> {
        let needs = archive.needs(&package)?;
        packages.push(package);
        packages.extend(needs.into_iter().filter(|name| {
            let rest = name.strip_prefix("linux-");
            let rest =
                rest.and_then(|rest| begins.iter().find_map(|begin| rest.strip_prefix(begin)));
            rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        }));
        Ok(())
    };
    if wanted.image {
        // From 7.0 on image and modules are packages of their own.
        add(
            format!("linux-image-{release}"),
            &["base-", "binary-", "modules-"],
        )?;
    }
    if wanted.headers {
        add(format!("linux-headers-{release}"), &["headers-", "kbuild-"])?;
        // For what a build of modules runs: objtool, and on the loader of its own release what
        // is newer than the system may be.
        let libraries: &[&str] = match kernel.archive.as_str() {
            "bookworm" => &["libelf1"],
            _ => &["libc6", "libelf1t64", "libzstd1", "zlib1g"],
        };
        packages.extend(libraries.iter().map(ToString::to_string));
    }
    Ok(packages)
}

/// The kernel in a bzImage. Its payload lies behind the real-mode sectors, and a length stands
/// behind it (Linux boot protocol 2.08); gzip ends in one by itself.
fn extract_image(image: &[u8]) -> Result<Vec<u8>> {
    let number = |at: usize| -> Option<usize> {
        let bytes = image.get(at..at + 4)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let payload = || {
        let begin = (usize::from(*image.get(0x1f1)?) + 1) * 512 + number(0x248)?;
        image.get(begin..begin + number(0x24c)?)
    };
    let payload = payload().context("it is cut short")?;
    let without_length = payload.len().saturating_sub(4);
    let payload = match payload {
        [0x1f, 0x8b, ..] => payload,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0xfd, b'7', b'z', b'X', ..] => &payload[..without_length],
        _ => bail!("the image is compressed in a way that is not known"),
    };
    let kernel = plain(payload).context("the image is damaged")?;
    ensure!(starts_by_pvh(&kernel), "it has no entry for PVH");
    Ok(kernel)
}

/// Xen's note 18 is the address that PVH starts at.
pub(crate) fn starts_by_pvh(kernel: &[u8]) -> bool {
    const NOTE: [u8; 8] = [18, 0, 0, 0, b'X', b'e', b'n', 0];
    kernel.starts_with(b"\x7fELF") && kernel.windows(NOTE.len()).any(|window| window == NOTE)
}

/// Moves the first of these that is there.
fn rename_one(from: [PathBuf; 2], to: &Path) -> Result<()> {
    let found = from.iter().find(|path| path.exists());
    let found = found.with_context(|| format!("there is no {}", from[0].display()))?;
    Ok(fs::rename(found, to)?)
}

/// `vmlinux`, `vmlinuz`, `config` and `modules`.
fn arrange_image(new: &Path, release: &str) -> Result<()> {
    // Where image and modules are packages of their own.
    if new.join("usr/lib/modules").is_dir() {
        fs::create_dir_all(new.join("lib"))?;
        fs::rename(new.join("usr/lib/modules"), new.join("lib/modules"))?;
    }
    let modules = new.join("lib/modules").join(release);
    let boot = new.join("boot");
    let vmlinuz = new.join("vmlinuz");
    rename_one(
        [
            boot.join(format!("vmlinuz-{release}")),
            modules.join("vmlinuz"),
        ],
        &vmlinuz,
    )?;
    fs::write(new.join("vmlinux"), extract_image(&read(&vmlinuz)?)?)?;
    rename_one(
        [
            boot.join(format!("config-{release}")),
            modules.join("config"),
        ],
        &new.join("config"),
    )?;
    for name in ["boot", "etc"] {
        remove(&new.join(name))?;
    }
    symlink(Path::new("lib/modules").join(release), new.join("modules"))?;
    ["build", "source"]
        .iter()
        .try_for_each(|name| remove(&modules.join(name)))
}

/// `build`, which modules are built against.
fn arrange_headers(new: &Path, release: &str) -> Result<()> {
    let name = format!("usr/src/linux-headers-{release}");
    let headers = new.join(&name);
    // Debian's headers name their parts by absolute paths.
    let makefile = headers.join("Makefile");
    let text = fs::read_to_string(&makefile).context("lack their Makefile")?;
    let text = text.replace("/usr/src/", "$(irqbed_src)/");
    fs::write(
        &makefile,
        format!("irqbed_src := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))/..)\n{text}"),
    )?;
    // That of 6.1 has the release without Debian's part.
    fs::write(
        headers.join("include/config/kernel.release"),
        format!("{release}\n"),
    )?;
    // Most of the files are for other processors.
    for folder in entries(&new.join("usr/src")) {
        let is_common = |name: &str| name.starts_with("linux-headers-") && name.contains("-common");
        if folder
            .file_name()
            .is_some_and(|name| is_common(&name.to_string_lossy()))
        {
            for processor in entries(&folder.join("arch")) {
                if processor.is_dir() && !["x86", "um"].iter().any(|name| processor.ends_with(name))
                {
                    remove(&processor)?;
                }
            }
        }
    }
    arrange_kbuild(new)?;
    if !new.join("config").exists() {
        fs::copy(headers.join(".config"), new.join("config"))?;
    }
    Ok(symlink(name, new.join("build"))?)
}

/// The programs of the kernel's makefiles, on libraries of their own.
fn arrange_kbuild(new: &Path) -> Result<()> {
    let folders = entries(&new.join("usr/lib"));
    let kbuild = folders.into_iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("linux-kbuild-")
    });
    let kbuild = kbuild.context("lack linux-kbuild")?;
    let libraries = new.join(LIBRARIES);
    let own = kbuild.join("lib");
    fs::create_dir(&own)?;
    for library in entries(&libraries) {
        let name = library.file_name().unwrap_or_default();
        if name.to_string_lossy().contains(".so") {
            fs::rename(&library, own.join(name))?;
        }
    }
    remove(&libraries)?;
    for program in PROGRAMS {
        let launcher = kbuild.join(program);
        ensure!(launcher.is_file(), "lack {program}");
        let real = ENDINGS
            .iter()
            .map(|ending| beside(&launcher, ending))
            .find(|real| real.exists());
        let real = match real {
            Some(real) => real,
            None => {
                let real = beside(&launcher, ".real");
                fs::rename(&launcher, &real)?;
                real
            }
        };
        let real = real
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = format!(
            "here=${{0%/*}} libraries=${{0%/*}}/../../lib\n\
             [ ! -e \"$libraries/ld-linux-x86-64.so.2\" ] ||\n  \
             exec \"$libraries/ld-linux-x86-64.so.2\" --library-path \"$libraries\" \"$here/{real}\" \"$@\"\n\
             LD_LIBRARY_PATH=$libraries exec \"$here/{real}\" \"$@\"\n"
        );
        remove(&launcher)?;
        write_script(&launcher, &text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_none_is_refused() {
        assert!(
            extract_image(b"MZ")
                .unwrap_err()
                .to_string()
                .contains("cut short")
        );
        let mut image = vec![0; 0x1000];
        image[0x1f1] = 1;
        image[0x24c] = 16;
        let error = extract_image(&image).unwrap_err().to_string();
        assert!(error.contains("a way that is not known"), "{error}");
    }

    #[test]
    fn the_entry_for_pvh_is_a_note() {
        let mut kernel = b"\x7fELF....".to_vec();
        assert!(!starts_by_pvh(&kernel));
        kernel.extend([4, 0, 0, 0, 8, 0, 0, 0, 18, 0, 0, 0]);
        kernel.extend(b"Xen\0");
        assert!(starts_by_pvh(&kernel));
    }
}
