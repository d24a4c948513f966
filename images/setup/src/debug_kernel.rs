// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A kernel that checks locks, memory and contexts (`images/debug-kernel.config`), built from
//! the source of the stock one: image, modules, and what modules build against. Interrupted,
//! it goes on where it was.

use std::{
    fs::{self, File},
    io::BufReader,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
    process::Command,
    thread,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use irqbed_archive::{archive::say, compression, fetch::hash_of};

use crate::{
    LIBRARIES, Setup,
    kernel::starts_by_pvh,
    store::{self, entries, is_sealed, read, remove, replace},
};

/// For objtool, which the build makes.
const FOR_OBJTOOL: [&str; 2] = ["libelf-dev", "zlib1g-dev"];
/// What of a kernel's tree modules build against, beside the makefiles of `arch/x86`.
const HEADERS: [&str; 7] = [
    "Makefile",
    ".config",
    "Module.symvers",
    "include",
    "scripts",
    "tools/objtool/objtool",
    "arch/x86/include",
];

impl Setup {
    /// Builds it, unless it is there.
    pub(crate) fn debug_kernel(&self) -> Result<()> {
        let stock = self.versions.stock_kernel();
        let home = self.home(Some(&self.versions.debug_kernel()));
        let source_version = self.versions.get("KERNEL_SOURCE_VERSION");
        let config = self.root.join("images/debug-kernel.config");
        let recipe = format!("2 {source_version} {}", hash_of(&*read(&config)?)?);
        let kernel = home.join("kernel");
        if is_sealed(&kernel, &recipe) {
            return Ok(());
        }
        self.store.lock()?;
        if is_sealed(&kernel, &recipe) {
            return Ok(());
        }
        let begun = Instant::now();
        ensure!(
            Command::new("gcc").arg("--version").output().is_ok(),
            "a C compiler is missing: install gcc and libc6-dev"
        );
        self.tools(&["make", "flex", "bison", "busybox"], false)?;
        self.bc()?;
        let new = home.join("kernel.new");
        let unpacked = new.join("unpacked");
        if fs::read_to_string(&unpacked).is_ok_and(|found| found.trim() == recipe) {
            say("debug-kernel: going on where it was");
        } else {
            self.store.ensure_room(3500, "the debug kernel")?;
            remove(&new)?;
            self.unpack_source(&new, &format!("linux-source-{stock}"), source_version)?;
            fs::write(&unpacked, format!("{recipe}\n"))?;
        }
        self.build(&new, &config)?;
        let release = self.arrange(&new)?;
        store::seal(&new, &recipe)?;
        replace(&new, &kernel)?;
        say(&format!(
            "debug-kernel: {release}, ready in {} s",
            begun.elapsed().as_secs()
        ));
        Ok(())
    }

    /// A kernel's makefiles calculate with it, and busybox can.
    fn bc(&self) -> Result<()> {
        let bc = self.store.path("tools/bin/bc");
        if Command::new("bc").arg("--version").output().is_err() && !bc.exists() {
            symlink(self.tool("busybox", "bin/busybox"), bc)?;
        }
        Ok(())
    }

    fn unpack_source(&self, new: &Path, package: &str, version: &str) -> Result<()> {
        let archive = self.archive("bookworm")?;
        let found = archive.pinned("debug-kernel", package, version, None)?;
        let found = found.with_context(|| {
            format!("the Debian mirror has no {package}: name one that has by IRQBED_DEBIAN_MIRROR")
        })?;
        let wanted = format!("{package}={found}");
        let packages: Vec<_> = [&*wanted].into_iter().chain(FOR_OBJTOOL).collect();
        archive.unpack(
            &format!("debug-kernel: fetching the source of {found}"),
            new,
            &packages,
        )?;
        let source = new.join(format!("usr/src/{package}.tar.xz"));
        unpack_tree(&source, &new.join("build")).context("cannot unpack the kernel's source")?;
        remove(&source)
    }

    fn build(&self, new: &Path, config: &Path) -> Result<()> {
        let tree = new.join("build");
        let make = |arguments: &[&str]| -> Result<Command> {
            let mut make = self.command("make");
            let libraries = new.join(LIBRARIES);
            let libraries = libraries.display();
            make.arg("-s").arg("-C").arg(&tree);
            make.arg(format!("-j{}", thread::available_parallelism()?));
            make.arg(format!("LIBELF_FLAGS=-I{}/usr/include", new.display()));
            make.arg(format!(
                "LIBELF_LIBS={libraries}/libelf.a {libraries}/libz.a"
            ));
            // The same source makes the same kernel, whoever builds it and when.
            make.args(["KBUILD_BUILD_TIMESTAMP=@0", "KBUILD_BUILD_USER=irqbed"]);
            make.arg("KBUILD_BUILD_HOST=irqbed").args(arguments);
            Ok(make)
        };
        let mut configure = make(&["allnoconfig"])?;
        configure.arg(format!("KCONFIG_ALLCONFIG={}", config.display()));
        self.store
            .run("debug-kernel-config", &mut configure)
            .context("the debug kernel cannot be configured")?;
        let (asked, got) = (
            fs::read_to_string(config)?,
            fs::read_to_string(tree.join(".config"))?,
        );
        let asked = asked.lines().filter(|line| line.contains("CONFIG_"));
        let lost: Vec<_> = asked
            .filter(|asked| !got.lines().any(|line| line == *asked))
            .collect();
        ensure!(
            lost.is_empty(),
            "this kernel cannot have what {} asks for: {}",
            config.display(),
            lost.join(" ")
        );
        say("debug-kernel: building, which takes some minutes");
        self.store
            .run("debug-kernel", &mut make(&["bzImage", "modules"])?)
            .context("the debug kernel does not build")?;
        ensure!(
            starts_by_pvh(&read(&tree.join("vmlinux"))?),
            "the debug kernel does not start by PVH"
        );
        let mut install = make(&["modules_install", "INSTALL_MOD_STRIP=1"])?;
        install.arg(format!("INSTALL_MOD_PATH={}", new.display()));
        self.store
            .run("debug-kernel-modules", &mut install)
            .context("the debug kernel's modules are not complete")
    }

    /// Keeps what a guest and builds of modules need; the release.
    fn arrange(&self, new: &Path) -> Result<String> {
        let tree = new.join("build");
        // It takes its symbols along in its own table.
        let mut strip = self.strip()?;
        strip
            .arg("-o")
            .arg(new.join("vmlinux"))
            .arg(tree.join("vmlinux"));
        self.store.run("debug-kernel-strip", &mut strip)?;
        // From this one a guest that is suspended to RAM resumes.
        fs::copy(tree.join("arch/x86/boot/bzImage"), new.join("vmlinuz"))?;
        let release = fs::read_to_string(tree.join("include/config/kernel.release"))?;
        let release = release.trim().to_owned();
        let headers = new.join("headers");
        remove(&headers)?;
        let is_makefile = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with("Makefile")
        };
        let makefiles = entries(&tree.join("arch/x86"))
            .into_iter()
            .filter(is_makefile);
        for path in HEADERS.iter().map(|name| tree.join(name)).chain(makefiles) {
            copy_headers(&tree, path.strip_prefix(&tree)?, &headers)?;
        }
        let modules = new.join("lib/modules").join(&release);
        for left in [
            tree.clone(),
            new.join("usr"),
            new.join("unpacked"),
            modules.join("build"),
            modules.join("source"),
        ] {
            remove(&left)?;
        }
        fs::rename(headers, &tree)?;
        fs::copy(tree.join(".config"), new.join("config"))?;
        symlink(Path::new("lib/modules").join(&release), new.join("modules"))?;
        fs::write(new.join("release"), format!("{release}\n"))?;
        Ok(release)
    }
}

/// Unpacks a kernel's source without its topmost folder, and without its books.
fn unpack_tree(source: &Path, tree: &Path) -> Result<()> {
    let file = BufReader::new(File::open(source)?);
    let mut archive = tar::Archive::new(compression::plain(file)?);
    archive.set_preserve_permissions(true);
    fs::create_dir_all(tree)?;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path: PathBuf = entry.path()?.components().skip(1).collect();
        ensure!(
            path.components()
                .all(|part| matches!(part, Component::Normal(_))),
            "a file outside of it"
        );
        // Kconfig reads some that lie at its top.
        let is_book = path.starts_with("Documentation") && path.components().count() > 2;
        if !path.as_os_str().is_empty() && !is_book {
            entry.unpack(tree.join(path))?;
        }
    }
    Ok(())
}

/// Copies a file, or what lies below a folder, without objects.
fn copy_headers(tree: &Path, name: &Path, to: &Path) -> Result<()> {
    let from = tree.join(name);
    if from.is_dir() && !from.is_symlink() {
        let mut inside = entries(&from).into_iter();
        return inside.try_for_each(|entry| copy_headers(tree, entry.strip_prefix(tree)?, to));
    }
    let last = name.file_name().unwrap_or_default().to_string_lossy();
    if last.ends_with(".o") || (last.starts_with('.') && last.ends_with(".cmd")) {
        return Ok(());
    }
    let copy = to.join(name);
    fs::create_dir_all(copy.parent().unwrap_or(to))?;
    if from.is_symlink() {
        symlink(fs::read_link(&from)?, copy)?;
    } else {
        fs::copy(&from, copy)?;
    }
    Ok(())
}
