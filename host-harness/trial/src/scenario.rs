// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A test of somebody's own driver: which devices a guest has, which modules it
//! loads, which program it runs, and how that must end. [`Description`] is what a
//! command line or a file says; [`Scenario`] is what was found good, with all
//! files read, and [`crate::trial`] runs it.

mod device;
mod device_request;
mod error;
mod file;
mod module;
mod program;
mod sleep;
mod step;
mod stock;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use irqbed_machine::{
    artefacts::Artefacts,
    initramfs::{self, GuestFile},
    kmod::ModuleInfo,
    qemu::{Address, FUNCTIONS, LAST_SLOT, Machine},
};

pub use device::Device;
pub use device_request::DeviceRequest;
pub use error::ScenarioError;
pub use module::{GivenModule, Module, ModuleSource};
pub use sleep::Sleep;
pub use step::MAX_PORTS;
pub use step::{Action, Step};

use stock::{Found, Stock, StockModules};

/// The folder in the guest that holds the user's files, and where the program
/// starts.
pub const FOLDER: &str = "/test";
/// The folder in the guest that holds the kernel's own modules.
const KERNEL_MODULES: &str = "/lib/modules";
/// Most devices of a guest: there are 32 places on a bus, and some are taken.
pub(crate) const MAX_DEVICES: usize = 16;
/// Longest that a program may take, seconds.
pub const MAX_LIMIT: u64 = 86_400;
/// What a program may take unless said otherwise, seconds.
pub const DEFAULT_LIMIT: u64 = 60;
/// Longest that the thread of a device may spin for a message.
const MAX_POLL: Duration = Duration::from_secs(1);
/// Most room for the BARs of all ports together, MiB: addresses below 4 GiB are rare.
pub const MAX_WINDOWS: u32 = 1024;
/// Guest memory unless said otherwise, MiB.
pub(crate) const DEFAULT_MEMORY: u32 = 512;

/// A file of the user's for the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Where it will be in the guest; in [`FOLDER`] by its own name for `None`.
    pub to: Option<String>,
}

/// A scenario as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// What it is called.
    pub name: String,
    /// The guest's devices, in the order in which it finds them.
    pub devices: Vec<DeviceRequest>,
    /// The modules, in the order in which they are loaded.
    pub modules: Vec<GivenModule>,
    /// Files that program and modules need.
    pub files: Vec<GivenFile>,
    /// The program.
    pub agent: Option<PathBuf>,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How long it may take, seconds.
    pub limit: u64,
    /// The exit status that is expected of it.
    pub status: u8,
    /// Kernel messages that are no failure: what one of them holds.
    pub allowed: Vec<String>,
    /// Whether each device that a module is for must have a driver, and no probe may fail.
    pub bind: bool,
    /// The kernel's name; `None` for the stock one.
    pub kernel: Option<String>,
    /// Put behind the kernel's command line.
    pub kernel_parameters: Vec<String>,
    /// Virtual processors.
    pub vcpus: u32,
    /// Guest memory, MiB.
    pub memory_mib: u32,
    /// Whether an IOMMU stands between the devices and the memory.
    pub iommu: bool,
    /// How long the thread of a device of ours spins for QEMU's next message.
    pub poll: Duration,
    /// Empty slots for devices that come while the guest runs.
    pub ports: u32,
    /// Room for the BARs of what is plugged into one of them, MiB.
    pub port_window_mib: u32,
    /// How the guest is suspended before the program runs, if it is.
    pub sleep: Option<Sleep>,
    /// What is done to it and to them when the program says so, in this order.
    pub steps: Vec<Step>,
}

impl Default for Description {
    fn default() -> Self {
        Self {
            name: "test".to_owned(),
            devices: Vec::new(),
            modules: Vec::new(),
            files: Vec::new(),
            agent: None,
            arguments: Vec::new(),
            limit: DEFAULT_LIMIT,
            status: 0,
            allowed: Vec::new(),
            bind: true,
            kernel: None,
            kernel_parameters: Vec::new(),
            vcpus: 1,
            memory_mib: DEFAULT_MEMORY,
            iommu: false,
            poll: Duration::ZERO,
            ports: 0,
            port_window_mib: Machine::PORT_WINDOW_MIB,
            sleep: None,
            steps: Vec::new(),
        }
    }
}

/// A scenario that can be run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// As it was written.
    pub description: Description,
    /// The parts of its guest.
    pub artefacts: Artefacts,
    /// Its modules, in order.
    pub modules: Vec<Module>,
    /// Everything that the guest gets: modules, files, program.
    pub files: Vec<GuestFile>,
    /// The archive in front of them.
    pub initramfs: Vec<u8>,
    /// The program and its arguments; empty for none.
    pub argv: Vec<String>,
}

impl Scenario {
    /// The file of a module; empty for one that the guest has already.
    pub(crate) fn image(&self, module: &Module) -> &[u8] {
        let file = self.files.iter().find(|file| file.path == module.path);
        file.map_or(&[], |file| &file.content)
    }
}

impl Description {
    /// Whether there is something to test.
    ///
    /// # Errors
    /// [`ScenarioError::Nothing`].
    pub fn tests_something(&self) -> Result<(), ScenarioError> {
        match (&self.agent, &self.modules[..]) {
            (None, []) => Err(ScenarioError::Nothing),
            _ => Ok(()),
        }
    }

    /// Reads every file and finds out whether the guest can do with it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(self) -> Result<Scenario, ScenarioError> {
        self.check_numbers()?;
        self.check_steps()?;
        let artefacts = Artefacts::locate()?.or_of_kernel(self.kernel.as_deref())?;
        artefacts.check()?;
        if self.suspends_to_ram() {
            artefacts.clone().that_resumes()?;
        }
        self.check_devices()?;
        let release = artefacts.kernel_release()?;
        let initramfs = read("initramfs", &artefacts.initramfs)?;
        let mut cargo = Cargo::new(&initramfs, &artefacts)?;
        for file in &self.files {
            cargo.add("file", file.to.as_deref(), &file.path)?;
        }
        let stock = StockModules::new(&release, artefacts.module_folders(&release));
        let mut modules = Vec::new();
        for given in &self.modules {
            modules.extend(self.check_module(given, &release, &stock, &mut cargo)?);
        }
        let mut argv = Vec::new();
        if let Some(path) = &self.agent {
            argv.push(cargo.add("program", None, path)?);
            argv.extend(self.arguments.iter().cloned());
            program::check(cargo.last(), |path| cargo.has(path)).map_err(|why| {
                ScenarioError::Program {
                    path: path.clone(),
                    why,
                }
            })?;
        }
        cargo.fits(self.memory_mib)?;
        Ok(Scenario {
            modules,
            files: cargo.files,
            initramfs,
            artefacts,
            argv,
            description: self,
        })
    }

    /// Takes a module in, and what it needs of the kernel's own ones. `None` where there
    /// is nothing to load: the kernel has it inside.
    fn check_module(
        &self,
        given: &GivenModule,
        release: &str,
        stock: &StockModules,
        cargo: &mut Cargo,
    ) -> Result<Option<Module>, ScenarioError> {
        let (path, info) = match &given.source {
            ModuleSource::File(path) => {
                let to = cargo.add("module", None, path)?;
                (to, module::check(path, cargo.last(), release)?)
            }
            ModuleSource::Kernel(name) => match stock.find(name)? {
                Found::File(stock) => {
                    let info = stock.info.clone();
                    (cargo.add_stock(stock), info)
                }
                Found::BuiltIn => {
                    return match given.parameters.first() {
                        None => Ok(None),
                        Some((key, value)) => Err(ScenarioError::Parameter {
                            module: name.clone(),
                            parameter: format!("{key}={value}"),
                            why: format!(
                                "it is built into the guest's kernel: give --kernel-parameter \
                                 {name}.{key}={value}"
                            ),
                        }),
                    };
                }
                Found::Nowhere => {
                    return Err(ScenarioError::NoStockModule {
                        name: name.clone(),
                        release: release.to_owned(),
                        folders: stock.folders(),
                        similar: stock.similar(name),
                    });
                }
            },
        };
        self.add_needed(&info, stock, cargo)?;
        let name = info.name.clone().unwrap_or_default();
        let parameters = module::parameters(&name, &info, &given.parameters)?;
        Ok(Some(Module {
            path,
            name: stock::canonical(&name),
            parameters,
            folder: match &given.source {
                ModuleSource::File(path) => folder_of(path),
                ModuleSource::Kernel(_) => PathBuf::new(),
            },
            aliases: info.aliases,
        }))
    }

    /// Takes in what a module needs of the kernel's own modules, which the agent loads
    /// before it; not what the scenario loads itself. What is nowhere is missed, by its
    /// name, when the module is loaded.
    fn add_needed(
        &self,
        info: &ModuleInfo,
        stock: &StockModules,
        cargo: &mut Cargo,
    ) -> Result<(), ScenarioError> {
        let mut needed = info.depends.clone();
        while let Some(name) = needed.pop() {
            let given = |given: &GivenModule| given.source.name() == stock::canonical(&name);
            if self.modules.iter().any(given) {
                continue;
            }
            if let Found::File(found) = stock.find(&name)? {
                needed.extend(found.info.depends.iter().cloned());
                cargo.add_stock(found);
            }
        }
        Ok(())
    }

    /// Whether there are such devices, and each can have its faults.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check_devices(&self) -> Result<(), ScenarioError> {
        if self.devices.len() > MAX_DEVICES {
            return Err(ScenarioError::TooManyDevices(self.devices.len()));
        }
        self.check_addresses()?;
        self.devices.iter().try_for_each(DeviceRequest::check)
    }

    /// Whether each device can be where it is to be.
    fn check_addresses(&self) -> Result<(), ScenarioError> {
        let asked = self.devices.iter();
        let asked: Vec<Address> = asked.filter_map(|device| device.address).collect();
        for (index, address) in asked.iter().enumerate() {
            let wrong = |why: String| {
                Err(ScenarioError::Address {
                    address: *address,
                    why,
                })
            };
            if !(1..=LAST_SLOT).contains(&address.slot) {
                return wrong(format!("slots are 1 to {LAST_SLOT}"));
            }
            if address.function >= FUNCTIONS {
                return wrong(format!("functions are 0 to {}", FUNCTIONS - 1));
            }
            if asked.iter().take(index).any(|other| other == address) {
                return wrong("two devices ask for it".to_owned());
            }
            let first = Address {
                function: 0,
                ..*address
            };
            if !asked.contains(&first) {
                return wrong("a slot has function 0 where it has others".to_owned());
            }
        }
        Ok(())
    }

    /// Whether a control socket can ask for something: it has a device of ours, or
    /// ports.
    #[must_use]
    pub fn can_be_asked(&self) -> bool {
        self.has_builtin() || self.ports > 0
    }

    /// Whether it has a device of ours, which a control socket can ask.
    #[must_use]
    pub fn has_builtin(&self) -> bool {
        self.devices.iter().any(|given| given.builtin().is_some())
    }

    /// Whether the guest is to be suspended to RAM, and not by a test of it alone.
    #[must_use]
    pub fn suspends_to_ram(&self) -> bool {
        let mut sleeps = self.steps.iter().filter_map(Step::sleep).chain(self.sleep);
        sleeps.any(|sleep| sleep.suspend.is_to_ram())
    }

    fn check_steps(&self) -> Result<(), ScenarioError> {
        if !self.steps.is_empty() && self.agent.is_none() {
            return Err(ScenarioError::NobodySays);
        }
        self.steps
            .iter()
            .try_for_each(|step| step.check(self.ports))
    }

    fn check_numbers(&self) -> Result<(), ScenarioError> {
        let out_of_range = |key, value, range| Err(ScenarioError::OutOfRange { key, value, range });
        if !(1..=MAX_LIMIT).contains(&self.limit) {
            return out_of_range("limit", self.limit, "seconds, 1 to 86400");
        }
        if !(1..=64).contains(&self.vcpus) {
            return out_of_range("vcpus", self.vcpus.into(), "1 to 64");
        }
        if self.ports > MAX_PORTS {
            return out_of_range("ports", self.ports.into(), "14 at most");
        }
        let window = self.port_window_mib;
        if !(1..=MAX_WINDOWS).contains(&window) || window * self.ports.max(1) > MAX_WINDOWS {
            return out_of_range(
                "port-window",
                window.into(),
                "MiB, 1 to 1024, and of all ports together no more",
            );
        }
        if self.poll > MAX_POLL {
            let given = u64::try_from(self.poll.as_micros()).unwrap_or(u64::MAX);
            return out_of_range("poll-us", given, "microseconds, at most 1000000");
        }
        if !(128..=65_536).contains(&self.memory_mib) {
            return out_of_range("memory", self.memory_mib.into(), "MiB, 128 to 65536");
        }
        Ok(())
    }
}

/// The folder of a file, by a name without links, as compilers write it.
fn folder_of(path: &Path) -> PathBuf {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

/// The files that the guest gets.
struct Cargo {
    files: Vec<GuestFile>,
    /// What is there already.
    paths: BTreeSet<String>,
}

impl Cargo {
    fn new(initramfs: &[u8], artefacts: &Artefacts) -> Result<Self, ScenarioError> {
        let paths = initramfs::paths(initramfs).map_err(|error| ScenarioError::Unreadable {
            what: "initramfs",
            path: artefacts.initramfs.clone(),
            error,
        })?;
        Ok(Self {
            files: Vec::new(),
            paths,
        })
    }

    /// Reads a file for the guest; where it will be there.
    fn add(
        &mut self,
        what: &'static str,
        to: Option<&str>,
        path: &Path,
    ) -> Result<String, ScenarioError> {
        let content = read(what, path)?;
        let to = match (to, path.file_name()) {
            (Some(to), _) => to.to_owned(),
            (None, Some(name)) => format!("{FOLDER}/{}", name.to_string_lossy()),
            (None, None) => return Err(place(&path.to_string_lossy(), "it has no name")),
        };
        let mut parts = to.split('/').skip(1);
        if !to.starts_with('/') || parts.any(|part| matches!(part, "" | "." | "..")) {
            return Err(place(&to, "give an absolute path without . and .."));
        }
        if to.contains('\0') || to.len() > 1024 {
            return Err(place(&to, "the path is too long, or has a zero byte"));
        }
        if ["/dev/", "/proc/", "/sys/", "/tmp/", "/run/"]
            .iter()
            .any(|folder| to.starts_with(folder))
        {
            return Err(place(&to, "something is mounted there when the guest runs"));
        }
        if !self.paths.insert(to.clone()) {
            return Err(place(&to, "there is a file of this name already"));
        }
        self.files.push(GuestFile {
            path: to.clone(),
            executable: what == "program" || is_executable(path),
            content,
        });
        Ok(to)
    }

    /// Takes a module of the kernel's own in, unless it is there; where it will be.
    fn add_stock(&mut self, stock: Stock) -> String {
        let file = stock.path.file_name().unwrap_or_default().to_string_lossy();
        let stem = file.split(".ko").next().unwrap_or_default();
        let path = format!("{KERNEL_MODULES}/{stem}.ko");
        if self.paths.insert(path.clone()) {
            self.files.push(GuestFile {
                path: path.clone(),
                executable: false,
                content: stock.image,
            });
        }
        path
    }

    /// What was added last.
    fn last(&self) -> &[u8] {
        self.files.last().map_or(&[], |file| &file.content)
    }

    fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// The guest has the archive in memory, and the files, at the same time.
    fn fits(&self, memory_mib: u32) -> Result<(), ScenarioError> {
        let bytes: u64 = self
            .files
            .iter()
            .map(|file| file.content.len() as u64)
            .sum();
        let files_mib = bytes.div_ceil(1 << 20);
        if files_mib > u64::from(memory_mib) / 4 {
            return Err(ScenarioError::TooLarge {
                files_mib,
                memory_mib,
            });
        }
        Ok(())
    }
}

fn place(path: &str, why: &'static str) -> ScenarioError {
    ScenarioError::Place {
        path: path.to_owned(),
        why,
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o111 != 0)
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, ScenarioError> {
    let unreadable = |error| ScenarioError::Unreadable {
        what,
        path: path.to_owned(),
        error,
    };
    // A pipe or a device would be waited for.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(std::io::Error::other("it is no file")));
    }
    fs::read(path).map_err(unreadable)
}
