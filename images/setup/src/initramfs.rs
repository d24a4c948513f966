// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest's file system, a cpio archive that is not compressed: unpacking would cost the
//! guest more than reading. Equal input makes it equal to the byte, whoever makes it: guests
//! are compared.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use cpio::newc::{Builder, ModeFileType, trailer};
use irqbed_archive::fetch::hash_of;

use crate::{
    Setup,
    store::{beside, files_below, plain, read, remove},
    variable,
};

/// What a change of this file, which changes what comes out, changes.
const RECIPE: &str = "1";
const FOLDERS: [&str; 11] = [
    "bin",
    "dev",
    "etc",
    "lib",
    "lib/modules",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
];
/// What of the kernel's own modules some mechanisms and tests need; the agent loads them for
/// those. A kernel may have them inside. (Before 6.2 a part of vfio is a module of its own.)
const STOCK_MODULES: [&str; 8] = [
    "virt/lib/irqbypass",
    "drivers/vfio/vfio",
    "drivers/vfio/vfio_iommu_type1",
    "drivers/vfio/vfio_virqfd",
    "drivers/vfio/pci/vfio-pci-core",
    "drivers/vfio/pci/vfio-pci",
    "drivers/net/nlmon",
    "drivers/uio/uio_pci_generic",
];
/// How stock modules are compressed.
const ENDINGS: [&str; 3] = ["", ".xz", ".zst"];

impl Setup {
    /// Makes the initial file system for the kernel of a name, or the guest's, whose driver is
    /// built.
    pub(crate) fn initramfs(&self, kernel: Option<&str>) -> Result<()> {
        let home = self.home(kernel);
        let agent = self.agent_path();
        // What the user puts in place is in the place of the guest's kernel.
        let own = |name| variable(name).filter(|_| kernel.is_none());
        let build = own("IRQBED_KDIR").unwrap_or_else(|| home.join("kernel/build"));
        let release = build.join("include/config/kernel.release");
        let modules = modules(
            &home,
            own("IRQBED_KDIR").as_deref(),
            own("IRQBED_KERNEL").is_none(),
        )?;
        self.tools(&["busybox"], false)?;
        let busybox = self.tool("busybox", "bin/busybox");

        let out = home.join("initramfs.cpio");
        let mark = beside(&out, ".of");
        let mut made_from = format!("{RECIPE}\n");
        for input in [&agent, &busybox, &release].into_iter().chain(&modules) {
            let name = input.file_name().unwrap_or_default().display();
            made_from += &format!("{} {name}\n", hash_of(&*read(input)?)?);
        }
        if out.is_file() && fs::read_to_string(&mark).is_ok_and(|found| found == made_from) {
            return Ok(());
        }
        self.store.lock()?;
        let work = beside(&out, ".parts");
        remove(&work)?;
        fs::create_dir_all(&work)?;
        let new = work.join("cpio");
        let written = self.write(&new, &work, &[&agent, &busybox, &release], &modules);
        written.with_context(|| format!("cannot write {}", out.display()))?;
        remove(&mark)?;
        fs::rename(new, out)?;
        fs::write(mark, made_from)?;
        remove(&work)
    }

    fn write(
        &self,
        out: &Path,
        work: &Path,
        [agent, busybox, release]: &[&PathBuf; 3],
        modules: &[PathBuf],
    ) -> Result<()> {
        let mut archive = Archive {
            out: BufWriter::new(File::create(out)?),
            inode: 0,
        };
        for folder in FOLDERS {
            archive.entry(folder, ModeFileType::Directory, 0o755, b"")?;
        }
        // Less to read at boot.
        let stripped = work.join("init");
        self.strip_into(&stripped, agent, &[])?;
        archive.entry("init", ModeFileType::Regular, 0o755, &read(&stripped)?)?;
        archive.entry("bin/busybox", ModeFileType::Regular, 0o755, &read(busybox)?)?;
        for applet in self.applets(busybox)? {
            archive.entry(
                &format!("bin/{applet}"),
                ModeFileType::Symlink,
                0o777,
                b"busybox",
            )?;
        }
        for module in modules {
            let name = module.file_name().unwrap_or_default().to_string_lossy();
            let name = name.split(".ko").next().unwrap_or_default();
            let whole = work.join("module");
            fs::write(&whole, plain(&read(module)?)?)?;
            self.strip_into(&stripped, &whole, &["--strip-debug"])?;
            let path = format!("lib/modules/{name}.ko");
            archive.entry(&path, ModeFileType::Regular, 0o644, &read(&stripped)?)?;
        }
        archive.entry(
            "etc/irqbed-release",
            ModeFileType::Regular,
            0o644,
            &read(release)?,
        )?;
        trailer(&mut archive.out)?;
        Ok(archive.out.flush()?)
    }

    fn strip_into(&self, to: &Path, from: &Path, arguments: &[&str]) -> Result<()> {
        let mut strip = self.strip()?;
        strip.args(arguments).arg("-o").arg(to).arg(from);
        self.store.run("initramfs", &mut strip)
    }

    /// The names that busybox goes by, in order.
    fn applets(&self, busybox: &Path) -> Result<Vec<String>> {
        let output = self.command(busybox).arg("--list").output()?;
        let names = String::from_utf8(output.stdout)?;
        let mut applets: Vec<_> = names.lines().map(str::to_owned).collect();
        applets.retain(|name| name != "busybox");
        applets.sort_unstable();
        ensure!(!applets.is_empty(), "busybox does not run here");
        Ok(applets)
    }
}

/// A cpio archive in the format "newc" (Documentation/driver-api/early-userspace/
/// buffer-format.rst of the kernel). Everything belongs to root, and to no time.
struct Archive {
    out: BufWriter<File>,
    inode: u32,
}

impl Archive {
    fn entry(&mut self, name: &str, kind: ModeFileType, mode: u32, content: &[u8]) -> Result<()> {
        self.inode += 1;
        let size = u32::try_from(content.len()).with_context(|| format!("{name} is too large"))?;
        let mut entry = Builder::new(name)
            .ino(self.inode)
            .mode(mode)
            .set_mode_file_type(kind)
            .write(&mut self.out, size);
        entry.write_all(content)?;
        entry.finish()?;
        Ok(())
    }
}

/// The driver, those that it names as those it needs, which the agent loads before it, and of
/// the stock modules those that are there.
fn modules(home: &Path, kdir: Option<&Path>, with_stock: bool) -> Result<Vec<PathBuf>> {
    let driver = home.join("module/irqbed.ko");
    let places = match kdir {
        Some(kdir) => {
            let release = fs::read_to_string(kdir.join("include/config/kernel.release"))?;
            vec![
                kdir.to_owned(),
                Path::new("/lib/modules").join(release.trim()),
            ]
        }
        None => vec![home.join("kernel/lib/modules")],
    };
    let mut modules = vec![driver.clone()];
    for name in needed_by(&read(&driver)?) {
        modules.push(find(&places, &name)?);
    }
    if with_stock {
        let kernel = home.join("kernel/modules/kernel");
        modules.extend(STOCK_MODULES.iter().filter_map(|name| {
            let mut files = ENDINGS
                .iter()
                .map(|end| kernel.join(format!("{name}.ko{end}")));
            files.find(|file| file.is_file())
        }));
    }
    Ok(modules)
}

/// What a module says that it needs, in its section `.modinfo`: texts that end in a zero byte.
fn needed_by(module: &[u8]) -> Vec<String> {
    let mut texts = module.split(|byte| *byte == 0);
    let names = texts.find_map(|text| text.strip_prefix(b"depends="));
    let names = String::from_utf8_lossy(names.unwrap_or_default());
    names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn find(places: &[PathBuf], name: &str) -> Result<PathBuf> {
    let names = ENDINGS.map(|end| format!("{name}.ko{end}"));
    let folders = places.iter().filter(|place| place.is_dir());
    let files: Vec<_> = folders
        .map(|place| files_below(place))
        .collect::<Result<_>>()?;
    let mut files = files.into_iter().flatten();
    let is_it = |file: &PathBuf| names.iter().any(|name| file.ends_with(name));
    files.find(is_it).with_context(|| {
        let places: Vec<_> = places
            .iter()
            .map(|place| place.display().to_string())
            .collect();
        format!(
            "the driver needs the kernel's module {name}, which is not below {}: install that \
             kernel's modules, or build it with {name} inside",
            places.join(" or ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_says_what_it_needs() {
        let info = |depends: &str| format!("\x7fELF\0x\0license=GPL\0depends={depends}\0name=a\0");
        assert_eq!(needed_by(info("").as_bytes()), [""; 0]);
        assert_eq!(
            needed_by(info("uio,irqbypass").as_bytes()),
            ["uio", "irqbypass"]
        );
        assert_eq!(needed_by(b"no module"), [""; 0]);
    }

    #[test]
    fn a_module_that_is_not_there_is_named_with_where_it_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("modules");
        fs::create_dir_all(place.join("kernel/drivers")).unwrap();
        let places = [place.clone(), "/no/such".into()];
        let error = find(&places, "uio").unwrap_err().to_string();
        for word in ["module uio", "/modules or /no/such", "install"] {
            assert!(error.contains(word), "{error}");
        }
        let file = place.join("kernel/drivers/uio.ko.xz");
        fs::write(&file, "").unwrap();
        assert_eq!(find(&places, "uio").unwrap(), file);
    }
}
