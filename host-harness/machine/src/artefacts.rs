// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the parts of a guest lie: QEMU, kernel, module, initramfs.
//!
//! `./just setup` puts them below `.irqbed/` at the root of the repository;
//! `IRQBED_QEMU` and `IRQBED_KERNEL` put others in their place. A kernel of
//! another name lies with its driver and initramfs below `.irqbed/kernels/`. A
//! release, where that folder is packed, is for reading only: kernels of other
//! names lie in a folder of the user's, `IRQBED_HOME`.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::kmod::ModuleInfo;

/// The folder at the root of the repository that holds what was fetched and built.
const FOLDER: &str = ".irqbed";
/// QEMU's plugin that logs what the guest executes.
const PLUGIN: &str = "libirqbed_tcg_plugin.so";
/// The folder in it that holds kernels of other names.
const KERNELS: &str = "kernels";

/// The user's folder for what a release fetches.
const HOME: &str = "IRQBED_HOME";

/// Which kernels there are by name.
const VERSIONS: &str = include_str!("../../../images/versions");
/// What stands behind a kernel's name for another flavour of it.
const FLAVOURS: [&str; 2] = ["-rt", "-cloud"];

/// The debug kernel, which checks locks, memory and contexts.
pub const DEBUG_KERNEL: &str = "6.12-debug";

/// The parts of a guest.
#[derive(Debug, Clone)]
pub struct Artefacts {
    /// The folder all of ours lie in.
    pub folder: PathBuf,
    /// Where what is fetched later is put: the same, or for a release the user's folder.
    pub fetched: PathBuf,
    /// `qemu-system-x86_64`.
    pub qemu: PathBuf,
    /// Kernel image, ELF with a PVH note or bzImage.
    pub kernel: PathBuf,
    /// Kernel headers the module was built against.
    pub kernel_build: PathBuf,
    /// The driver.
    pub module: PathBuf,
    /// Initial file system with agent, driver and busybox.
    pub initramfs: PathBuf,
    /// QEMU's plugin that logs what the guest executes.
    pub plugin: PathBuf,
}

/// Why there is no guest to boot.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    /// The repository was not found.
    #[error(
        "no {FOLDER} folder above this program or above {0}: run inside the repository, after `./just setup`"
    )]
    NoFolder(PathBuf),
    /// A part is not there.
    #[error("{what} is missing at {path}: {remedy}")]
    Missing {
        /// The part.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
    },
    /// There is no kernel of this name.
    #[error(
        "there is no kernel {0:?}: there are {names}, each but the last with {flavours} behind its \
         name, too; without a name it is {stock}",
        names = named_kernels().chain([DEBUG_KERNEL]).collect::<Vec<_>>().join(", "),
        flavours = FLAVOURS.join(" and "),
        stock = stock_kernel()
    )]
    UnknownKernel(String),
    /// The kernel of this name was not fetched or built yet.
    #[error("the kernel {0} is not here yet: run `irqbed kernel {0}`")]
    AbsentKernel(String),
    /// A part cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// The part.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file that is no kernel.
    #[error(
        "{0} is no Linux kernel: set IRQBED_KERNEL to a vmlinux or bzImage, or unset it and run \
         `./just setup`"
    )]
    NotAKernel(PathBuf),
    /// A guest of this kernel would not resume.
    #[error(
        "suspend to RAM needs a bzImage, and there is none at {0}: at the reset from which a \
         guest resumes QEMU writes an ELF image to memory anew, over the kernel that sleeps \
         there. Run `./just setup`, or set IRQBED_KERNEL to a bzImage"
    )]
    NoBzImage(PathBuf),
    /// The module will not load into the kernel.
    #[error(
        "the module {module} was built for kernel {built_for}, but {kernel} is {release}: \
         set IRQBED_KERNEL and IRQBED_KDIR to a pair and run `./just setup`"
    )]
    WrongPair {
        /// The driver.
        module: PathBuf,
        /// The release in its vermagic.
        built_for: String,
        /// The kernel image.
        kernel: PathBuf,
        /// The release in the image.
        release: String,
    },
}

impl Artefacts {
    /// Names the parts that this program came with, whether they are there or not: a
    /// clone's or those of an unpacked release; for a program that came with none, those of
    /// the clone we are in.
    ///
    /// # Errors
    /// [`ArtefactError::NoFolder`].
    pub fn locate() -> Result<Self, ArtefactError> {
        let here = env::current_dir().unwrap_or_default();
        let exe = env::current_exe().unwrap_or_default();
        let folder = exe
            .ancestors()
            .chain(here.ancestors())
            .map(|folder| folder.join(FOLDER))
            .find(|folder| folder.is_dir())
            .ok_or(ArtefactError::NoFolder(here))?;
        Ok(Self::below(folder))
    }

    /// Names the parts below a folder, whether they are there or not.
    #[must_use]
    pub fn below(folder: PathBuf) -> Self {
        let or_own = |variable: &str, path: &str| {
            env::var_os(variable).map_or_else(|| folder.join(path), PathBuf::from)
        };
        Self {
            qemu: or_own("IRQBED_QEMU", "qemu/bin/qemu-system-x86_64"),
            kernel: or_own("IRQBED_KERNEL", "kernel/vmlinux"),
            kernel_build: or_own("IRQBED_KDIR", "kernel/build"),
            module: folder.join("module/irqbed.ko"),
            initramfs: folder.join("initramfs.cpio"),
            plugin: plugin(&folder),
            fetched: if is_of_a_release(&folder) {
                users_folder()
            } else {
                folder.clone()
            },
            folder,
        }
    }

    /// The folder of the sources that they belong to: scripts, driver, device library.
    #[must_use]
    pub fn sources(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }

    /// The same with the kernel of this name, and the driver and initramfs that
    /// go with it. `IRQBED_KERNEL` and `IRQBED_KDIR` do not touch it.
    ///
    /// # Errors
    /// [`ArtefactError::UnknownKernel`], [`ArtefactError::AbsentKernel`].
    pub fn with_kernel(self, name: &str) -> Result<Self, ArtefactError> {
        let of_a_series = FLAVOURS
            .iter()
            .find_map(|flavour| name.strip_suffix(flavour))
            .unwrap_or(name);
        if name != DEBUG_KERNEL && !named_kernels().any(|known| known == of_a_series) {
            return Err(ArtefactError::UnknownKernel(name.to_owned()));
        }
        let home = if name == stock_kernel() {
            self.folder.clone()
        } else {
            self.fetched.join(KERNELS).join(name)
        };
        let parts = Self {
            kernel: home.join("kernel/vmlinux"),
            kernel_build: home.join("kernel/build"),
            module: home.join("module/irqbed.ko"),
            initramfs: home.join("initramfs.cpio"),
            ..self
        };
        if parts.kernel.is_file() {
            Ok(parts)
        } else {
            Err(ArtefactError::AbsentKernel(name.to_owned()))
        }
    }

    /// The same with a kernel image from which a guest resumes after suspend to RAM: the
    /// bzImage beside the ELF image. The resume begins with a reset of the machine, at
    /// which QEMU writes the segments of an ELF image to memory once more.
    ///
    /// # Errors
    /// [`ArtefactError::NoBzImage`], [`ArtefactError::Unreadable`].
    pub fn that_resumes(self) -> Result<Self, ArtefactError> {
        if is_bzimage(&read(&self.kernel)?) {
            return Ok(self);
        }
        let kernel = self.kernel.with_file_name("vmlinuz");
        if kernel.is_file() {
            Ok(Self { kernel, ..self })
        } else {
            Err(ArtefactError::NoBzImage(kernel))
        }
    }

    /// The same with the kernel of a name, or as it is for none.
    ///
    /// # Errors
    /// As [`Artefacts::with_kernel`].
    pub fn or_of_kernel(self, name: Option<&str>) -> Result<Self, ArtefactError> {
        match name {
            Some(name) => self.with_kernel(name),
            None => Ok(self),
        }
    }

    /// Makes sure that everything is there and that module and kernel are a pair.
    ///
    /// # Errors
    /// Names the first part that is missing or does not fit.
    pub fn check(&self) -> Result<(), ArtefactError> {
        const SETUP: &str = "run `./just setup`";
        let parts = [
            ("QEMU", &self.qemu, "run `./just setup`, or set IRQBED_QEMU"),
            (
                "the guest kernel",
                &self.kernel,
                "run `./just setup`, or set IRQBED_KERNEL",
            ),
            ("the driver", &self.module, SETUP),
            ("the initramfs", &self.initramfs, SETUP),
        ];
        for (what, path, remedy) in parts {
            if !path.is_file() {
                let path = path.clone();
                return Err(ArtefactError::Missing { what, path, remedy });
            }
        }
        let built_for = ModuleInfo::of(&read(&self.module)?).release;
        let release = kernel_release(&read(&self.kernel)?);
        match (built_for, release) {
            (Some(built_for), Some(release)) if built_for != release => {
                Err(ArtefactError::WrongPair {
                    module: self.module.clone(),
                    built_for,
                    kernel: self.kernel.clone(),
                    release,
                })
            }
            (_, None) => Err(ArtefactError::NotAKernel(self.kernel.clone())),
            _ => Ok(()),
        }
    }

    /// Makes sure that the plugin is there, which only those who log need.
    ///
    /// # Errors
    /// [`ArtefactError::Missing`].
    pub fn check_plugin(&self) -> Result<(), ArtefactError> {
        if self.plugin.is_file() {
            return Ok(());
        }
        Err(ArtefactError::Missing {
            what: "QEMU's plugin",
            path: self.plugin.clone(),
            remedy: "run `./just setup`",
        })
    }

    /// The release of the kernel.
    ///
    /// # Errors
    /// [`ArtefactError::Unreadable`], [`ArtefactError::NotAKernel`].
    pub fn kernel_release(&self) -> Result<String, ArtefactError> {
        kernel_release(&read(&self.kernel)?)
            .ok_or_else(|| ArtefactError::NotAKernel(self.kernel.clone()))
    }

    /// Where the kernel's own modules may lie: beside its image, where they were built,
    /// and where the host keeps those of this release.
    #[must_use]
    pub fn module_folders(&self, release: &str) -> Vec<PathBuf> {
        vec![
            self.kernel.with_file_name("modules"),
            Path::new("/lib/modules").join(release),
            self.kernel_build.clone(),
        ]
    }

    /// The parameters that the module takes, sorted.
    ///
    /// # Errors
    /// [`ArtefactError::Unreadable`].
    pub fn module_parameters(&self) -> Result<Vec<String>, ArtefactError> {
        Ok(ModuleInfo::of(&read(&self.module)?).parameters)
    }
}

/// A release has it in its `bin`; cargo leaves it beside the folder.
fn plugin(folder: &Path) -> PathBuf {
    let packed = folder.with_file_name("bin").join(PLUGIN);
    if packed.is_file() {
        packed
    } else {
        folder.with_file_name("target").join("release").join(PLUGIN)
    }
}

/// A release brings its programs along.
fn is_of_a_release(folder: &Path) -> bool {
    folder.with_file_name("bin").join("irqbed").is_file()
}

/// What a release of this version has fetched for the user: in the folder that the user names,
/// else among the user's data (XDG Base Directory Specification).
fn users_folder() -> PathBuf {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let absolute = |name: &str| {
        named(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let data = || {
        let data = absolute("XDG_DATA_HOME");
        let data = data.or_else(|| Some(env::home_dir()?.join(".local/share")));
        data.unwrap_or_else(env::temp_dir).join("irqbed")
    };
    let folder = absolute(HOME).unwrap_or_else(data);
    folder.join(env!("CARGO_PKG_VERSION"))
}

/// The name of the guest's kernel where no other is asked for.
fn stock_kernel() -> &'static str {
    VERSIONS
        .lines()
        .find_map(|line| line.strip_prefix("KERNEL="))
        .unwrap_or_default()
}

/// The names of stock kernels, without their flavours.
fn named_kernels() -> impl Iterator<Item = &'static str> {
    VERSIONS
        .lines()
        .skip_while(|line| *line != "KERNELS='")
        .skip(1)
        .take_while(|line| *line != "'")
        .filter_map(|line| line.split_whitespace().next())
}

fn read(path: &Path) -> Result<Vec<u8>, ArtefactError> {
    fs::read(path).map_err(|error| ArtefactError::Unreadable {
        path: path.to_owned(),
        error,
    })
}

/// The first release that stands behind `mark`.
fn word_after(data: &[u8], mark: &[u8]) -> Option<String> {
    let mut from = 0;
    while let Some(found) = data
        .get(from..)?
        .windows(mark.len())
        .position(|window| window == mark)
    {
        from += found + mark.len();
        let word = release(data.get(from..)?);
        if word.is_some() {
            return word;
        }
    }
    None
}

/// The release that a text begins with.
pub fn release(text: &[u8]) -> Option<String> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+-~".contains(byte);
    let word: Vec<u8> = text.iter().copied().take_while(is_part).collect();
    String::from_utf8(word)
        .ok()
        .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}

fn is_bzimage(image: &[u8]) -> bool {
    image.get(0x202..0x206) == Some(b"HdrS")
}

/// The release of a kernel image: the banner of an ELF image, or the version
/// string that a bzImage's setup header points to (Linux boot protocol 2.00,
/// offset 0x20e, relative to 0x200).
fn kernel_release(image: &[u8]) -> Option<String> {
    if is_bzimage(image) {
        let pointer = u16::from_le_bytes([*image.get(0x20e)?, *image.get(0x20f)?]);
        let text = image.get(0x200 + usize::from(pointer)..)?;
        return release(text);
    }
    word_after(image, b"Linux version ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_of_an_elf_image_is_in_its_banner() {
        let image =
            b"\0junk Linux version %s (%s)\0Linux version 6.12.117+deb12-amd64 (debian@x)\0";
        assert_eq!(
            kernel_release(image).as_deref(),
            Some("6.12.117+deb12-amd64")
        );
    }

    #[test]
    fn the_release_of_a_bzimage_is_behind_its_setup_header() {
        let mut image = vec![0; 0x1000];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x300u16.to_le_bytes());
        image[0x500..0x507].copy_from_slice(b"6.1.0-7");
        assert_eq!(kernel_release(&image).as_deref(), Some("6.1.0-7"));
    }

    #[test]
    fn a_bzimage_cut_short_has_no_release() {
        let mut image = vec![0; 0x210];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0xffffu16.to_le_bytes());
        assert_eq!(kernel_release(&image), None);
    }

    #[test]
    fn a_guest_resumes_from_the_bzimage_beside_an_elf_image() {
        let folder = tempfile::tempdir().unwrap();
        let artefacts = Artefacts {
            kernel: folder.path().join("vmlinux"),
            ..Artefacts::below(folder.path().to_owned())
        };
        fs::write(&artefacts.kernel, b"\x7fELF").unwrap();
        let error = artefacts.clone().that_resumes().unwrap_err().to_string();
        assert!(
            error.contains("vmlinuz") && error.contains("ELF"),
            "{error}"
        );

        let bzimage = folder.path().join("vmlinuz");
        let mut image = vec![0; 0x300];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        fs::write(&bzimage, image).unwrap();
        let resumable = artefacts.that_resumes().unwrap();
        assert_eq!(resumable.kernel, bzimage);
        assert_eq!(resumable.clone().that_resumes().unwrap().kernel, bzimage);
    }

    #[test]
    fn a_kernel_of_another_name_comes_with_its_driver_and_initramfs() {
        let folder = tempfile::tempdir().unwrap();
        let artefacts = Artefacts::below(folder.path().to_owned());
        let error = artefacts.clone().with_kernel("4.2-rt").unwrap_err();
        for name in ["4.2-rt", "7.3,", "-rt", DEBUG_KERNEL, "it is 6.12"] {
            assert!(error.to_string().contains(name), "{error}");
        }
        for name in ["7.3", "6.1-rt", "6.12-cloud", DEBUG_KERNEL] {
            let error = artefacts.clone().with_kernel(name).unwrap_err();
            let remedy = format!("`irqbed kernel {name}`");
            assert!(error.to_string().contains(&remedy), "{error}");
        }

        let home = folder.path().join(KERNELS).join(DEBUG_KERNEL);
        fs::create_dir_all(home.join("kernel")).unwrap();
        fs::write(home.join("kernel/vmlinux"), "").unwrap();
        let parts = artefacts.clone().with_kernel(DEBUG_KERNEL).unwrap();
        for part in [
            &parts.kernel,
            &parts.kernel_build,
            &parts.module,
            &parts.initramfs,
        ] {
            assert!(part.starts_with(&home), "{part:?}");
        }
        assert_eq!(parts.qemu, artefacts.qemu);

        fs::create_dir(folder.path().join("kernel")).unwrap();
        fs::write(folder.path().join("kernel/vmlinux"), "").unwrap();
        let parts = artefacts.clone().with_kernel(stock_kernel()).unwrap();
        assert_eq!(parts.kernel, folder.path().join("kernel/vmlinux"));
    }
}
