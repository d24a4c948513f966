// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Modules: the driver, for the guest's kernel and for those of other names, and anybody's
//! own. They are built by the kernel's makefiles, and by the compiler that built the kernel.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context, Result, anyhow, ensure};
use irqbed_archive::{archive::say, fetch::hash_of};

use crate::{
    Setup, is_refused_by_make, programs,
    store::{files_below, read, remove},
    variable,
};

/// What a change of this file, which changes what comes out, changes.
const RECIPE: &str = "2";

/// Headers that modules are built against, and by what.
struct Target {
    kdir: PathBuf,
    release: String,
    compiler: Option<PathBuf>,
}

impl Setup {
    /// The headers of the kernel of a name, or of the guest's.
    fn target(&self, kernel: Option<&str>) -> Result<Target> {
        let home = self.home(kernel);
        let own = home.join("kernel/build");
        let kdir = match kernel {
            Some(name) => {
                ensure!(
                    home.join("kernel").is_dir(),
                    "there is no kernel {name}: run irqbed kernel {name}, or leave out --kernel"
                );
                own
            }
            None => variable("IRQBED_KDIR").unwrap_or(own),
        };
        let shown = kdir.display();
        ensure!(
            kdir.join("Makefile").is_file(),
            "no kernel headers at {shown}: run ./just setup, or set IRQBED_KDIR to a folder that \
             has them"
        );
        let kdir = kdir.canonicalize()?;
        let release = fs::read_to_string(kdir.join("include/config/kernel.release"));
        let release = release.map_err(|_| {
            anyhow!(
                "{} is not prepared for building modules: it lacks include/config/kernel.release",
                kdir.display()
            )
        })?;
        ensure!(
            !is_refused_by_make(&kdir),
            "the kernel's makefiles cannot work in '{}', because of a space or colon in the \
             name: set IRQBED_KDIR to another folder",
            kdir.display()
        );
        Ok(Target {
            compiler: self.compiler(&kdir)?,
            release: release.trim().to_owned(),
            kdir,
        })
    }

    fn make(&self, target: &Target, folder: &Path) -> Result<Command> {
        self.tools(&["make"], false)?;
        let mut make = self.command("make");
        make.arg("-C").arg(&target.kdir);
        make.arg(format!("-j{}", thread::available_parallelism()?));
        // Type information would need the symbols of vmlinux, and a tool of its own.
        make.arg("CONFIG_DEBUG_INFO_BTF_MODULES=");
        match &target.compiler {
            Some(compiler) => {
                let path = make.get_envs().find(|(name, _)| *name == "PATH");
                let path = path.and_then(|(_, path)| path).unwrap_or_default();
                let mut first = compiler.parent().unwrap_or(compiler).as_os_str().to_owned();
                first.push(":");
                first.push(path);
                make.env("PATH", first);
                let name = compiler.file_name().unwrap_or_default().to_string_lossy();
                make.arg("CROSS_COMPILE=x86_64-linux-gnu-")
                    .arg(format!("CC={name}"));
            }
            // Debian's headers ask for the compiler of their release by name.
            None if asks_for_a_name(&target.kdir) => {
                make.arg("CC=gcc");
            }
            None => {}
        }
        let mut modules = OsStr::new("M=").to_owned();
        modules.push(folder);
        make.arg(modules);
        Ok(make)
    }

    /// Builds somebody's own modules in their folder, for the kernel of a name or the guest's,
    /// with arguments of make; where they are.
    ///
    /// # Errors
    ///
    /// They do not build, which make has said.
    pub fn modules(
        &self,
        kernel: Option<&str>,
        folder: &Path,
        arguments: &[String],
    ) -> Result<Vec<PathBuf>> {
        let shown = folder.display();
        let folder = folder.canonicalize().map_err(|_| {
            anyhow!("there is no folder '{shown}': give the folder of your module's sources")
        })?;
        let shown = folder.display();
        ensure!(
            ["Kbuild", "Makefile"]
                .iter()
                .any(|name| folder.join(name).is_file()),
            "{shown} has no Kbuild file: it says what to build, as `obj-m := mydriver.o`"
        );
        ensure!(
            !is_refused_by_make(&folder),
            "the kernel's makefiles cannot work in '{shown}', because of a space or colon in the name"
        );
        let target = self.target(kernel)?;
        let mut make = self.make(&target, &folder)?;
        // Coverage and the places of failures need it, whatever the kernel was built with.
        let settings = fs::read_to_string(target.kdir.join("include/config/auto.conf"));
        if !settings.unwrap_or_default().contains("CONFIG_DEBUG_INFO=y") {
            make.arg("KCFLAGS=-g");
        }
        make.args(arguments)
            .arg("modules")
            .stdout(std::io::stderr());
        ensure!(
            programs::status(&mut make)?.success(),
            "the modules in {shown} do not build for {}: see above",
            target.release
        );
        let mut built = files_below(&folder)?;
        built.retain(|file| file.extension().is_some_and(|end| end == "ko"));
        built.sort_unstable();
        ensure!(
            !built.is_empty(),
            "{shown} builds no module: its Kbuild file has no `obj-m`"
        );
        Ok(built)
    }

    /// Builds the driver for the kernel of a name, or for the guest's, where it is not there yet.
    /// With arguments of make (W=1, C=2) it is a trial: all is built anew in a folder of its
    /// own, and make says what it thinks of it.
    ///
    /// # Errors
    ///
    /// It does not build.
    pub fn driver(&self, kernel: Option<&str>, arguments: &[String]) -> Result<()> {
        let target = self.target(kernel)?;
        let source = self.root.join("guest-kmod");
        let out = self.home(kernel).join("module");
        if !arguments.is_empty() {
            self.store.lock()?;
            let build = out.join("trial");
            remove(&build)?;
            let mut make = self.make_of_the_driver(&source, &build, &target)?;
            let status = programs::status(make.args(arguments).arg("modules"))?;
            ensure!(
                status.success(),
                "the driver does not build for {}: see above",
                target.release
            );
            return Ok(());
        }
        let made_from = made_from(&source, &target)?;
        let (driver, mark) = (out.join("irqbed.ko"), out.join("made-from"));
        let is_current =
            || driver.is_file() && fs::read_to_string(&mark).is_ok_and(|found| found == made_from);
        if is_current() {
            return Ok(());
        }
        self.store.lock()?;
        if is_current() {
            return Ok(());
        }
        let build = out.join("build");
        remove(&mark)?;
        let mut make = self.make_of_the_driver(&source, &build, &target)?;
        self.store
            .run("module", make.arg("modules"))
            .with_context(|| format!("the driver does not build for {}", target.release))?;
        let built = build.join("irqbed.ko");
        ensure!(
            built.is_file(),
            "guest-kmod/ builds no irqbed.ko: see its Kbuild file"
        );
        let new = out.join("irqbed.ko.new");
        fs::copy(built, &new)?;
        fs::rename(new, &driver)?;
        fs::write(mark, made_from)?;
        say(&format!("module: built for {}", target.release));
        Ok(())
    }

    fn make_of_the_driver(&self, source: &Path, build: &Path, target: &Target) -> Result<Command> {
        copy_sources(source, build, target)?;
        let mut make = self.make(target, build)?;
        // The same driver to the byte, whatever folder it is built in; gcov writes there.
        if variable("GCOV_PROFILE").is_none() {
            make.arg(format!(
                "KCFLAGS=-ffile-prefix-map={}=. -ffile-prefix-map={}=guest-kmod",
                self.store.folder().display(),
                build.display()
            ));
        }
        Ok(make)
    }
}

fn asks_for_a_name(kdir: &Path) -> bool {
    let text = fs::read_to_string(kdir.join(".kernelvariables")).unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("CC = "));
    lines.any(|line| line.contains("(CROSS_COMPILE)gcc-"))
}

/// The files of the driver's sources, by their names from its folder on.
fn sources(folder: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut files = Vec::new();
    for file in files_below(folder)? {
        files.push((file.strip_prefix(folder)?.to_owned(), file));
    }
    files.sort_unstable();
    Ok(files)
}

/// Sources, headers and compiler of a driver: make would look at the whole tree to find out
/// that nothing has changed.
fn made_from(source: &Path, target: &Target) -> Result<String> {
    let mut text = format!("{RECIPE}\n{}\n", target.release);
    for (name, file) in sources(source)? {
        text += &format!("{} {}\n", hash_of(&*read(&file)?)?, name.display());
    }
    if let Ok(symbols) = fs::metadata(target.kdir.join("Module.symvers")) {
        text += &format!("{} {}\n", symbols.len(), symbols.mtime());
    }
    let compiler = target.compiler.as_deref().unwrap_or(Path::new("gcc"));
    let version = Command::new(compiler).arg("--version").output();
    text += &version.map_or_else(
        |error| error.to_string(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    );
    Ok(text)
}

/// Brings a copy of the driver's sources up to date, so that make builds what has changed. The
/// source tree stays clean.
fn copy_sources(source: &Path, build: &Path, target: &Target) -> Result<()> {
    let sources = sources(source)?;
    let names: Vec<_> = sources
        .iter()
        .map(|(name, _)| name.to_string_lossy())
        .collect();
    let made_for = format!("{}\n{}\n", target.kdir.display(), names.join("\n"));
    let mark = build.join(".irqbed-made-for");
    // Objects of another kernel, and files that are no more.
    if fs::read_to_string(&mark).is_ok_and(|found| found != made_for) || !mark.exists() {
        remove(build)?;
    }
    for (name, file) in &sources {
        let (content, copy) = (read(file)?, build.join(name));
        if fs::read(&copy).is_ok_and(|found| found == content) {
            continue;
        }
        fs::create_dir_all(copy.parent().unwrap_or(build))?;
        fs::write(&copy, content).with_context(|| format!("cannot write {}", copy.display()))?;
    }
    Ok(fs::write(mark, made_for)?)
}
