// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Compilers of Debian, in `.irqbed/compilers`. They run on their own loader, with their own
//! assembler and linker, and change nothing of the system.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow};
use irqbed_archive::{archive::say, mirror};

use crate::{
    LIBRARIES, LOADER, Setup,
    store::{entries, files_below, is_sealed, remove, write_script},
    versions::Compiler,
};

/// The part of it that links static programs of the guest.
const LINK_STATIC: &str = "link-static";
/// Of the binutils.
const TOOLS: [&str; 10] = [
    "ar", "as", "ld", "ld.bfd", "nm", "objcopy", "objdump", "ranlib", "readelf", "strip",
];
/// What a compiler's package names as what it needs, to check programs at run time.
const NOT_FOR_KERNELS: [&str; 6] = [
    "libasan",
    "libhwasan",
    "liblsan",
    "libtsan",
    "libubsan",
    "libitm",
];

/// What a kernel's configuration says of its compiler.
struct BuiltBy {
    /// 0 where nothing is known, and for clang.
    major: u32,
    is_debian: bool,
}

impl BuiltBy {
    fn of(kdir: &Path) -> Self {
        let settings = fs::read_to_string(kdir.join("include/config/auto.conf"));
        let settings = settings.unwrap_or_default();
        let setting = |name: &str| {
            let mut lines = settings.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        };
        // 120200 is 12.2.
        let version = setting("CONFIG_GCC_VERSION").and_then(|text| text.parse::<u32>().ok());
        Self {
            major: version.unwrap_or(0) / 10_000,
            is_debian: setting("CONFIG_CC_VERSION_TEXT")
                .is_some_and(|text| text.contains("Debian")),
        }
    }
}

/// The name of the compiler that a kernel was built by, where that is known.
pub fn compiler_of(kdir: &Path) -> Option<String> {
    let major = BuiltBy::of(kdir).major;
    (major > 0).then(|| format!("gcc-{major}"))
}

/// The major version of the system's gcc.
fn systems() -> Option<u32> {
    let output = Command::new("gcc").arg("-dumpversion").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    version.trim().split('.').next()?.parse().ok()
}

impl Setup {
    /// The compiler for modules of the kernel whose headers lie in `kdir`: the one that the
    /// kernel was built by, so that a driver is the same, and has the same number of
    /// instructions, wherever it is built. None where the kernel is not Debian's and the
    /// system's compiler is not older than the kernel's: an older one lacks options that the
    /// kernel's makefiles pass.
    ///
    /// # Errors
    ///
    /// There is none to be had.
    pub fn compiler(&self, kdir: &Path) -> Result<Option<PathBuf>> {
        let built_by = BuiltBy::of(kdir);
        let systems = systems();
        let systems_will_do = systems.is_some_and(|system| built_by.major <= system);
        if systems_will_do && !built_by.is_debian {
            return Ok(None);
        }
        if self.versions.compiler(built_by.major).is_none() {
            if systems_will_do {
                return Ok(None);
            }
            let major = built_by.major;
            return Err(anyhow!(
                "the kernel of {} was built by gcc {major}, this system has {}: install \
                 gcc-{major} or a newer one",
                kdir.display(),
                systems.map_or_else(|| "none".to_owned(), |system| system.to_string())
            ));
        }
        let home = self.gcc(built_by.major)?;
        Ok(Some(home.join("bin").join(gcc_name(built_by.major))))
    }

    /// The linker of the guest's static programs, with a C library: these are the same, too,
    /// wherever they are linked. None where no mirror is known to fetch it from.
    ///
    /// # Errors
    ///
    /// It cannot be fetched.
    pub fn linker(&self) -> Result<Option<PathBuf>> {
        let major = self.guest_compiler();
        let is_here = is_sealed(&self.path_of(major), &self.recipe(major)?);
        if !is_here && mirror::of(mirror::Kind::Main).is_err() {
            return Ok(None);
        }
        Ok(Some(self.gcc(major)?.join("bin").join(LINK_STATIC)))
    }

    /// The program `strip` of the linker, else the system's: another release of it would leave
    /// other bytes.
    pub(crate) fn strip(&self) -> Result<Command> {
        let linker = self.linker()?;
        let ours = linker.map(|linker| linker.with_file_name("x86_64-linux-gnu-strip"));
        Ok(self.command(ours.unwrap_or_else(|| "strip".into())))
    }

    pub(crate) fn guest_compiler(&self) -> u32 {
        self.versions.get("GUEST_COMPILER").parse().unwrap_or(0)
    }

    fn path_of(&self, major: u32) -> PathBuf {
        self.place(&format!("compilers/gcc-{major}"))
    }

    fn listed(&self, major: u32) -> Result<Compiler<'_>> {
        let listed = self.versions.compiler(major);
        listed.with_context(|| format!("images/versions has no gcc {major}"))
    }

    /// The version of the C library that comes with a compiler, if one does.
    fn libc(&self, major: u32) -> Option<&str> {
        let is_guests = major == self.guest_compiler();
        is_guests.then(|| self.versions.get("GUEST_LIBC_VERSION"))
    }

    fn recipe(&self, major: u32) -> Result<String> {
        let listed = self.listed(major)?;
        let parts = [Some(listed.package), Some(listed.version), self.libc(major)];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        Ok(format!("3 {}", parts.join(" ")))
    }

    /// Where the compiler of this version is, once it is there.
    fn gcc(&self, major: u32) -> Result<PathBuf> {
        let home = self.path_of(major);
        let listed = self.listed(major)?;
        let libc = self.libc(major);
        let made = self.store.part(&home, &self.recipe(major)?, |new| {
            self.store.ensure_room(400, &format!("gcc {major}"))?;
            let archive = self.archive(listed.archive)?;
            let part = format!("gcc-{major}");
            let found = archive.pinned(&part, listed.package, listed.version, None)?;
            let found = found.with_context(|| {
                format!(
                    "the Debian mirror has no {}: name one that has by IRQBED_DEBIAN_MIRROR, or \
                     install gcc-{major}",
                    listed.package
                )
            })?;
            let wanted = format!("{}={found}", listed.package);
            let mut packages = archive.closure(listed.archive, &[&wanted])?;
            packages.retain(|name| !NOT_FOR_KERNELS.iter().any(|other| name.starts_with(other)));
            if let Some(version) = libc {
                let found = archive.pinned("libc", "libc6-dev", version, None)?;
                let found = found.context("the Debian mirror has no libc6-dev")?;
                packages.push(format!("libc6-dev={found}"));
            }
            archive.unpack(&format!("{part}: fetching {found}"), new, &packages)?;
            thin_out(new, major)?;
            write_launchers(new, major, libc.is_some())?;
            self.check_gcc(new, major)
                .with_context(|| format!("gcc {found} does not run here"))
        })?;
        if let Some(took) = made {
            say(&format!("gcc-{major}: ready in {} s", took.as_secs()));
        }
        Ok(home)
    }

    fn check_gcc(&self, new: &Path, major: u32) -> Result<()> {
        let [source, object, linked] =
            ["c", "o", "ld.o"].map(|end| new.join(format!("check.{end}")));
        fs::write(&source, "int answer(void) { return 42; }\n")?;
        let name = format!("gcc-{major}-check");
        let gcc = new.join("bin").join(gcc_name(major));
        let mut compile = self.command(gcc);
        compile
            .args(["-O2", "-g", "-c"])
            .arg(&source)
            .arg("-o")
            .arg(&object);
        self.store.run(&name, &mut compile)?;
        let mut link = self.command(new.join("bin/x86_64-linux-gnu-ld"));
        link.arg("-r").arg(&object).arg("-o").arg(&linked);
        self.store.run(&name, &mut link)?;
        [source, object, linked]
            .iter()
            .try_for_each(|file| remove(file))
    }
}

fn gcc_name(major: u32) -> String {
    format!("x86_64-linux-gnu-gcc-{major}")
}

/// Where a compiler may have its own programs.
fn inner(new: &Path, major: u32) -> [PathBuf; 2] {
    ["lib", "libexec"].map(|folder| {
        let inner = format!("usr/{folder}/gcc/x86_64-linux-gnu/{major}");
        new.join(inner)
    })
}

/// Removes what no kernel and no agent needs.
fn thin_out(new: &Path, major: u32) -> Result<()> {
    for name in ["etc", "var", "usr/include", "usr/share", "usr/sbin"] {
        remove(&new.join(name))?;
    }
    for tool in entries(&new.join("usr/bin")) {
        if tool.to_string_lossy().contains("lto-dump") {
            remove(&tool)?;
        }
    }
    for folder in inner(new, major) {
        remove(&folder.join("lto1"))?;
        if !folder.is_dir() {
            continue;
        }
        for file in files_below(&folder)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(".a") && !name.starts_with("libgcc") {
                remove(&file)?;
            }
        }
    }
    // Where older packages have it.
    let libraries = new.join(LIBRARIES);
    if !libraries.join(LOADER).exists() {
        merge(&new.join("lib"), &new.join("usr/lib"))?;
        remove(&new.join("lib"))?;
    }
    Ok(())
}

/// Moves what lies in one folder into another, which may have folders of the same names.
fn merge(from: &Path, to: &Path) -> Result<()> {
    for entry in entries(from) {
        let target = to.join(entry.file_name().unwrap_or_default());
        if entry.is_dir() && !entry.is_symlink() && target.is_dir() {
            merge(&entry, &target)?;
        } else {
            fs::rename(&entry, &target)?;
        }
    }
    Ok(())
}

/// A program on the loader that is its own; `arguments` stand before those of the caller.
fn launcher(file: &Path, program: &str, arguments: &str) -> Result<()> {
    let text = format!(
        "here=${{0%/*}}/..\n\
         exec \"$here/{LIBRARIES}/{LOADER}\" --library-path \"$here/{LIBRARIES}\" \\\n  \
         --argv0 \"$0\" \"$here/{program}\" {arguments} \"$@\"\n"
    );
    write_script(file, &text)
}

fn write_launchers(new: &Path, major: u32, links: bool) -> Result<()> {
    let (bin, parts) = (new.join("bin"), new.join("parts"));
    [&bin, &parts]
        .into_iter()
        .try_for_each(fs::create_dir_all)?;
    for tool in TOOLS {
        let name = format!("x86_64-linux-gnu-{tool}");
        launcher(&bin.join(&name), &format!("usr/bin/{name}"), "")?;
    }
    // The compiler looks for its parts where it is told to first.
    let gcc = gcc_name(major);
    let program = format!("usr/bin/{gcc}");
    launcher(&bin.join(&gcc), &program, "-B\"$here/parts/\"")?;
    for folder in inner(new, major) {
        for part in ["cc1", "collect2"] {
            let path = folder.join(part);
            if path.is_file() {
                let program = path.strip_prefix(new)?;
                launcher(&parts.join(part), &program.to_string_lossy(), "")?;
            }
        }
    }
    for part in ["as", "ld"] {
        launcher(
            &parts.join(part),
            &format!("usr/bin/x86_64-linux-gnu-{part}"),
            "",
        )?;
    }
    if links {
        // The libraries of this compiler, and none of the system's.
        let arguments = format!(
            "--sysroot=\"$here\" -B\"$here/parts/\" \
             -B\"$here/usr/lib/gcc/x86_64-linux-gnu/{major}/\""
        );
        launcher(&bin.join(LINK_STATIC), &program, &arguments)?;
    }
    Ok(())
}
