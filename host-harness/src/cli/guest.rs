// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Options of the commands that boot a guest for somebody's own driver: its
//! devices, modules and files.

use std::{path::PathBuf, time::Duration};

use clap::{Args, value_parser};
use device_model::Fault;
use irqbed_machine::{accel::AccelRequest, builtin::Builtin, qemu::Machine};
use irqbed_trial::scenario::{
    Description, Device, DeviceRequest, GivenFile, GivenModule, MAX_PORTS, MAX_WINDOWS,
    ModuleSource, ScenarioError,
};

use super::options::MAX_POLL_US;

#[derive(Debug, Args)]
pub(super) struct GuestArguments {
    /// A device of this project: event, edu or nic-lite, with its options and where it is
    /// on the root bus as `edu,irq=intx,mapped=on,dma_mask=0xffffffff,slot=5,function=1`;
    /// may be given again
    #[arg(long, value_name = "NAME[,KEY=VALUE...]", value_parser = device)]
    device: Vec<DeviceRequest>,
    /// Where a device model of yours listens, which speaks vfio-user; may be
    /// given again, these devices come behind those of --device
    #[arg(long, value_name = "PATH")]
    socket: Vec<PathBuf>,
    /// What goes wrong with the device of this project from the boot on, as
    /// `irq-lost:chance=0.1`: `irqbed fault --kinds` says what there is; may be
    /// given again
    #[arg(long, value_name = "KIND:KEY=VALUE,...")]
    fault: Vec<Fault>,
    /// Empty slots for `irqbed plug` (0 to 14)
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u32).range(..=i64::from(MAX_PORTS)))]
    pub(super) ports: u32,
    /// Room for the BARs of what is plugged into a port, of each kind, MiB (1 to 1024);
    /// of all ports together no more
    #[arg(long, value_name = "MIB", default_value_t = Machine::PORT_WINDOW_MIB, value_parser = value_parser!(u32).range(1..=i64::from(MAX_WINDOWS)))]
    port_window: u32,
    /// A kernel module to load: the path of a file, or the name of one that the guest's
    /// kernel brings, as `uio_pci_generic`; may be given again, they are loaded in order
    #[arg(long, value_name = "PATH|NAME", value_parser = module)]
    module: Vec<ModuleSource>,
    /// Parameter of a module, as `debug=1`, or `mydriver.debug=1` of one among
    /// several; may be given again
    #[arg(long, value_name = "[MODULE.]NAME=VALUE", value_parser = parameter)]
    module_parameter: Vec<Parameter>,
    /// A file for the guest, in /test there unless said otherwise; may be given
    /// again
    #[arg(long, value_name = "PATH[:PATH-IN-GUEST]", value_parser = file)]
    file: Vec<GivenFile>,
    /// Virtual processors (1 to 64)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=64))]
    vcpus: u32,
    /// Guest memory, MiB (128 to 65536)
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = value_parser!(u32).range(128..=65536))]
    memory: u32,
    /// Put an IOMMU between the devices and the guest's memory, as vfio-pci needs it
    #[arg(long)]
    iommu: bool,
    /// Accelerator
    #[arg(long, value_enum, default_value_t = AccelRequest::Auto)]
    pub(super) accel: AccelRequest,
    /// The thread of a device of this project spins so long for QEMU's next
    /// message before it sleeps (0 to 1000000)
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0, value_parser = value_parser!(u64).range(..=MAX_POLL_US))]
    poll_us: u64,
    /// Put behind the kernel's command line; may be given again
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    kernel_parameter: Vec<String>,
    /// Another kernel than the stock one, by a name of `irqbed kernel --list`,
    /// which `irqbed kernel NAME` fetches; 6.12-debug checks locks, memory and
    /// contexts
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
}

#[derive(Debug, Clone)]
struct Parameter {
    module: Option<String>,
    name: String,
    value: String,
}

fn parameter(text: &str) -> Result<Parameter, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("give NAME=VALUE, or MODULE.NAME=VALUE")?;
    let (module, name) = match name.split_once('.') {
        Some((module, name)) => (Some(module.replace('-', "_")), name),
        None => (None, name),
    };
    Ok(Parameter {
        module,
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

pub(super) fn device(text: &str) -> Result<DeviceRequest, String> {
    DeviceRequest::of_word(text).map_err(|error| error.to_string())
}

fn module(text: &str) -> Result<ModuleSource, String> {
    match text {
        "" => Err("give the path of a module's file, or the name of a kernel module".to_owned()),
        text => Ok(ModuleSource::of_word(text)),
    }
}

fn file(text: &str) -> Result<GivenFile, String> {
    let (path, to) = match text.rsplit_once(':') {
        Some((path, to)) if to.starts_with('/') => (path, Some(to.to_owned())),
        _ => (text, None),
    };
    match path {
        "" => Err("give the path of a file".to_owned()),
        path => Ok(GivenFile {
            path: path.into(),
            to,
        }),
    }
}

impl GuestArguments {
    /// Whether the guest is for a driver, device or file of the user's own.
    pub(super) fn are_own(&self) -> bool {
        !(self.device.is_empty()
            && self.socket.is_empty()
            && self.module.is_empty()
            && self.file.is_empty())
    }

    /// The name of the module that is loaded first.
    pub(super) fn first_module(&self) -> Option<String> {
        self.module.first().map(ModuleSource::name)
    }

    /// The devices, each with its faults.
    fn devices(&self) -> Result<Vec<DeviceRequest>, ScenarioError> {
        let mut builtin = self.device.clone();
        match &mut *builtin {
            _ if self.fault.is_empty() => {}
            [one] => one.faults.clone_from(&self.fault),
            [] => return Err(ScenarioError::FaultOfNone),
            _ => {
                let names = self.device.iter().map(|given| given.device.to_string());
                let names = names.collect::<Vec<_>>().join(", ");
                return Err(ScenarioError::FaultOfSeveral(names));
            }
        }
        let sockets = self.socket.iter().cloned().map(Device::Socket);
        Ok(builtin
            .into_iter()
            .chain(sockets.map(DeviceRequest::from))
            .collect())
    }

    /// The guest that they describe.
    pub(super) fn description(&self) -> Result<Description, ScenarioError> {
        self.description_with(self.devices()?)
    }

    /// The guest with the event device and no other one, which may have faults.
    pub(super) fn description_of_ours(&self) -> Result<Description, ScenarioError> {
        self.description_with(vec![DeviceRequest {
            faults: self.fault.clone(),
            ..Device::Builtin(Builtin::Event).into()
        }])
    }

    fn description_with(&self, devices: Vec<DeviceRequest>) -> Result<Description, ScenarioError> {
        let mut modules: Vec<GivenModule> = self
            .module
            .iter()
            .map(|source| GivenModule {
                source: source.clone(),
                parameters: Vec::new(),
            })
            .collect();
        for parameter in &self.module_parameter {
            let of = owner(&mut modules, parameter)?;
            of.parameters
                .push((parameter.name.clone(), parameter.value.clone()));
        }
        Ok(Description {
            devices,
            modules,
            files: self.file.clone(),
            kernel: self.kernel.clone(),
            kernel_parameters: self.kernel_parameter.clone(),
            vcpus: self.vcpus,
            memory_mib: self.memory,
            iommu: self.iommu,
            poll: Duration::from_micros(self.poll_us),
            ports: self.ports,
            port_window_mib: self.port_window,
            ..Description::default()
        })
    }
}

/// The module that a parameter is for, by the name of its file.
fn owner<'a>(
    modules: &'a mut [GivenModule],
    parameter: &Parameter,
) -> Result<&'a mut GivenModule, ScenarioError> {
    let refused = |module: &str, why: &str| ScenarioError::Parameter {
        module: module.to_owned(),
        parameter: format!("{}={}", parameter.name, parameter.value),
        why: why.to_owned(),
    };
    match (&parameter.module, modules) {
        (None, [only]) => Ok(only),
        (None, []) => Err(refused("?", "there is no module: give --module PATH")),
        (None, _) => Err(refused(
            "?",
            "there are several modules: give MODULE.NAME=VALUE",
        )),
        (Some(name), modules) => modules
            .iter_mut()
            .find(|module| module.source.name() == *name)
            .ok_or_else(|| refused(name, "it is given by no --module")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_a_colon_in_its_name() {
        let pair = |text| file(text).map(|file| (file.path, file.to));
        assert_eq!(pair("a:b"), Ok(("a:b".into(), None)));
        assert_eq!(pair("a:b:/c"), Ok(("a:b".into(), Some("/c".to_owned()))));
        file(":/c").expect_err("no path");
    }

    #[test]
    fn a_parameter_finds_its_module() {
        let module = |word: &str| GivenModule {
            source: ModuleSource::of_word(word),
            parameters: Vec::new(),
        };
        let mut modules = [module("x/my-driver.ko"), module("vfio-pci")];
        let mut owner_of = |text| {
            let found = owner(&mut modules, &parameter(text).expect("NAME=VALUE"));
            found.map(|module| module.source.to_string()).ok()
        };
        assert_eq!(owner_of("my_driver.n=1"), Some("x/my-driver.ko".into()));
        assert_eq!(owner_of("vfio_pci.n=1.5"), Some("vfio-pci".into()));
        assert_eq!(owner_of("n=1"), None);
        assert_eq!(owner_of("none.n=1"), None);
    }
}
