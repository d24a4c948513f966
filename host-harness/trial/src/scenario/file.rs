// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A scenario's file. Paths in it are relative to the folder it lies in.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use device_model::Fault;
use irqbed_abi::control::{PmTest, SleepState};
use irqbed_machine::{
    builtin::{Builtin, DeviceOptions, Interrupts, options::number},
    qemu::{Address, Port},
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    Action, Description, Device, DeviceRequest, GivenFile, GivenModule, ModuleSource,
    ScenarioError, Sleep, Step, device, read,
};

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    name: Option<String>,
    agent: Option<PathBuf>,
    #[serde(default)]
    arguments: Vec<String>,
    limit: Option<u64>,
    #[serde(default)]
    exit: u8,
    #[serde(default)]
    allow: Vec<String>,
    bind: Option<bool>,
    kernel: Option<String>,
    #[serde(default)]
    kernel_parameters: Vec<String>,
    vcpus: Option<u32>,
    memory: Option<u32>,
    #[serde(default)]
    iommu: bool,
    #[serde(default)]
    poll_us: u32,
    #[serde(default)]
    ports: u32,
    port_window: Option<u32>,
    #[serde(default)]
    device: Vec<DeviceTable>,
    #[serde(default)]
    module: Modules,
    #[serde(default)]
    file: Vec<FileTable>,
    #[serde(default)]
    when: Vec<WhenTable>,
}

/// Bits of an address: TOML has no whole numbers of 64 bits without a sign, so the widest
/// is a text.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Value")]
struct Mask(u64);

impl TryFrom<Value> for Mask {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let mask = match value {
            Value::Text(text) => number(&text),
            Value::Number(number) => u64::try_from(number).ok(),
            Value::Truth(_) => None,
        };
        mask.map(Self)
            .ok_or("dma-mask: give a number, as 0xfffffff, or a text with one")
    }
}

#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a device is as { name = \"edu\" }"
)]
struct DeviceTable {
    name: Option<String>,
    socket: Option<PathBuf>,
    command: Option<Vec<String>>,
    msix: Option<bool>,
    irq: Option<Interrupts>,
    mapped: Option<bool>,
    dma_mask: Option<Mask>,
    slot: Option<u8>,
    #[serde(default)]
    function: u8,
    #[serde(default)]
    faults: Vec<Fault>,
}

/// `module = "NAME"`, a list of such names and tables, or a `[[module]]` each.
#[derive(Debug, Default)]
struct Modules(Vec<ModuleTable>);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModuleTable {
    path: Option<PathBuf>,
    name: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, Value>,
}

/// A module that is given by its name alone, or by a table.
#[derive(Debug)]
struct NameOrTable(ModuleTable);

impl ModuleTable {
    fn named(name: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
            ..Self::default()
        }
    }

    fn module(self, folder: &Path) -> Result<GivenModule, ScenarioError> {
        let source = match (self.path, self.name) {
            (Some(path), None) => ModuleSource::File(folder.join(path)),
            (None, Some(name)) => match ModuleSource::of_word(&name) {
                ModuleSource::File(path) => ModuleSource::File(folder.join(path)),
                named => named,
            },
            _ => return Err(ScenarioError::OneModule),
        };
        let parameters = self.parameters.into_iter();
        Ok(GivenModule {
            source,
            parameters: parameters
                .map(|(name, value)| (name, value.text()))
                .collect(),
        })
    }
}

impl<'de> Deserialize<'de> for NameOrTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = NameOrTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a module: its name, or a table with `path` or `name`")
            }

            fn visit_str<E>(self, name: &str) -> Result<NameOrTable, E> {
                Ok(NameOrTable(ModuleTable::named(name)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NameOrTable, A::Error> {
                let map = MapAccessDeserializer::new(map);
                ModuleTable::deserialize(map).map(NameOrTable)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Modules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Modules;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a module, a list of them, or [[module]]")
            }

            fn visit_str<E>(self, name: &str) -> Result<Modules, E> {
                Ok(Modules(vec![ModuleTable::named(name)]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Modules, A::Error> {
                let mut modules = Vec::new();
                while let Some(NameOrTable(module)) = list.next_element()? {
                    modules.push(module);
                }
                Ok(Modules(modules))
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTable {
    path: PathBuf,
    to: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhenTable {
    says: String,
    port: Option<u32>,
    plug: Option<DeviceTable>,
    #[serde(default)]
    unplug: bool,
    #[serde(default)]
    faults: Vec<Fault>,
    suspend: Option<SleepState>,
    wake: Option<Span>,
    #[serde(rename = "pm-test", alias = "pm_test")]
    pm_test: Option<PmTest>,
}

/// A time with its unit.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Span(Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refused = || format!("{text:?}: give a time with its unit, at most 60s, as \"500ms\"");
        device_model::fault::parse_duration(&text)
            .map(Self)
            .ok_or_else(refused)
    }
}

/// A module parameter.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a parameter is a text, a whole number, or true or false"
)]
enum Value {
    Text(String),
    Number(i64),
    Truth(bool),
}

impl Value {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Truth(truth) => if truth { "Y" } else { "N" }.to_owned(),
        }
    }
}

impl Description {
    /// Reads a scenario's file.
    ///
    /// # Errors
    /// What is wrong with it, by line and key.
    pub fn from_file(path: &Path) -> Result<Self, ScenarioError> {
        let text = read("scenario", path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let folder = path.parent().unwrap_or(Path::new(""));
        let text = String::from_utf8_lossy(&text);
        let document: Document = toml::from_str(&text).map_err(|error| {
            let before = error.span().map_or(0, |span| span.start);
            let before = text.as_bytes().get(..before).unwrap_or_default();
            ScenarioError::Toml {
                path: path.to_owned(),
                line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
                message: error.message().trim().replace('\n', ", "),
            }
        })?;
        let description = Self::of(document, &name, folder)?;
        match description.tests_something() {
            Err(_) => Err(ScenarioError::NothingIn(path.to_owned())),
            Ok(()) => Ok(description),
        }
    }

    fn of(document: Document, name: &str, folder: &Path) -> Result<Self, ScenarioError> {
        let default = Self::default();
        let devices = document.device.into_iter();
        let devices = devices.map(|table| table.device(folder));
        let steps = document.when.into_iter();
        let steps = steps.map(|table| table.step(folder));
        let modules = document.module.0.into_iter();
        let modules = modules.map(|table| table.module(folder));
        let description = Self {
            name: document.name.unwrap_or_else(|| name.to_owned()),
            devices: devices.collect::<Result<_, _>>()?,
            modules: modules.collect::<Result<_, _>>()?,
            files: document
                .file
                .into_iter()
                .map(|table| GivenFile {
                    path: folder.join(table.path),
                    to: table.to,
                })
                .collect(),
            agent: document.agent.map(|path| folder.join(path)),
            arguments: document.arguments,
            limit: document.limit.unwrap_or(default.limit),
            status: document.exit,
            allowed: document.allow,
            bind: document.bind.unwrap_or(default.bind),
            kernel: document.kernel,
            kernel_parameters: document.kernel_parameters,
            vcpus: document.vcpus.unwrap_or(default.vcpus),
            memory_mib: document.memory.unwrap_or(default.memory_mib),
            iommu: document.iommu,
            poll: Duration::from_micros(document.poll_us.into()),
            ports: document.ports,
            port_window_mib: document.port_window.unwrap_or(default.port_window_mib),
            steps: steps.collect::<Result<_, _>>()?,
            ..default
        };
        Ok(description)
    }
}

impl DeviceTable {
    fn device(self, folder: &Path) -> Result<DeviceRequest, ScenarioError> {
        let device = match (self.name, self.socket, self.command) {
            (Some(name), None, None) => Device::Builtin(device::builtin(&name)?),
            (None, Some(socket), None) => Device::Socket(folder.join(socket)),
            (None, None, Some(words)) => Device::Command(located(words, folder)),
            _ => return Err(ScenarioError::OneOf),
        };
        let builtin = match device {
            Device::Builtin(device) => Some(device),
            _ => None,
        };
        let irq = match self.msix {
            Some(false) if builtin.is_some_and(Builtin::can_lack_msix) => Some(Interrupts::Msi),
            Some(false) => return Err(ScenarioError::NoChoiceOfMsix(device.to_string())),
            _ => self.irq,
        };
        let address = match (self.slot, self.function) {
            (None, 0) => None,
            // That there is no slot 0 is found with the rest.
            (slot, function) => Some(Address {
                slot: slot.unwrap_or(0),
                function,
            }),
        };
        Ok(DeviceRequest {
            device,
            options: DeviceOptions {
                irq,
                mapped: self.mapped,
                dma_mask: self.dma_mask.map(|mask| mask.0),
            },
            address,
            faults: self.faults,
        })
    }
}

impl WhenTable {
    fn step(self, folder: &Path) -> Result<Step, ScenarioError> {
        let of_sleep = self.wake.is_some() || self.pm_test.is_some();
        let action = match (self.plug, self.unplug, &*self.faults, self.suspend) {
            (.., None) if of_sleep => return Err(ScenarioError::NoSuspend),
            (.., Some(_)) if self.port.is_some() => return Err(ScenarioError::PortOfSuspend),
            (Some(table), false, [], None) => Action::Plug(table.device(folder)?),
            (None, true, [], None) => Action::Unplug,
            (None, false, [_, ..], None) => Action::Arm(self.faults),
            (None, false, [], Some(state)) => {
                let wake = self.wake.map(|Span(wake)| wake);
                Action::Suspend(Sleep::new(state, self.pm_test, wake))
            }
            _ => return Err(ScenarioError::OneAction),
        };
        Ok(Step {
            says: self.says.trim().to_owned(),
            port: Port(self.port.unwrap_or(0)),
            action,
        })
    }
}

/// A command whose program, unless it is looked for by name alone, lies in a
/// folder.
fn located(mut words: Vec<String>, folder: &Path) -> Vec<String> {
    if let Some(program) = words.first_mut().filter(|program| program.contains('/')) {
        *program = folder.join(&program).to_string_lossy().into_owned();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Description, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, text).expect("a file");
        Description::from_file(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_says_what_a_command_line_can_say() {
        let description = parse(
            "agent = 'check.sh'\narguments = ['-v']\nlimit = 5\nexit = 3\nallow = ['x']\nbind = false\n\
             memory = 256\npoll-us = 50\nports = 2\n\
             [[device]]\nname = 'event'\nfaults = ['irq-lost:chance=0.1']\n\
             [[device]]\nsocket = 'run/dev'\n\
             [[device]]\ncommand = ['./dev', '{socket}']\n\
             [[module]]\npath = '/m.ko'\nparameters = { n = 1, on = true, text = 'a b' }\n\
             [[file]]\npath = 'data'\nto = '/etc/data'\n\
             [[when]]\nsays = ' go '\nport = 1\nplug = { name = 'event', msix = false }\n\
             [[when]]\nsays = 'gone'\nport = 1\nfaults = ['removed']\n\
             [[when]]\nsays = 'out'\nunplug = true\n\
             [[when]]\nsays = 'sleep'\nsuspend = 'mem'\nwake = '1.5s'\n\
             [[when]]\nsays = 'try'\nsuspend = 'freeze'\npm-test = 'devices'\n",
        )
        .expect("a scenario");
        assert_eq!(description.name, "mine");
        assert!(description.agent.expect("one").ends_with("check.sh"));
        let faults: Vec<usize> = description
            .devices
            .iter()
            .map(|given| given.faults.len())
            .collect();
        assert_eq!(faults, [1, 0, 0]);
        assert_eq!(
            (
                description.limit,
                description.status,
                description.memory_mib
            ),
            (5, 3, 256)
        );
        assert!(!description.bind);
        assert_eq!(description.poll, Duration::from_micros(50));
        let steps = description.steps.iter();
        let steps: Vec<_> = steps.map(|step| (&*step.says, step.to_string())).collect();
        let step = |says, words: &str| (says, words.to_owned());
        assert_eq!(
            steps,
            [
                step("go", "plug event into port 1"),
                step("gone", "arm removed at port 1"),
                step("out", "unplug port 0"),
                step("sleep", "suspend to RAM, wake after 1.5s"),
                step("try", "suspend to idle as far as pm_test=devices"),
            ]
        );
        assert_eq!(description.ports, 2);
        let module = &description.modules[0];
        assert_eq!(module.source, ModuleSource::File("/m.ko".into()));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            module.parameters,
            [pair("n", "1"), pair("on", "Y"), pair("text", "a b")]
        );
    }

    #[test]
    fn a_device_has_options_and_an_address() {
        let device = |keys: &str| {
            let text = format!("agent = 'x'\n[[device]]\nname = 'edu'\n{keys}");
            parse(&text).map(|mut description| description.devices.remove(0))
        };
        let keys = "irq = 'intx'\nmapped = true\ndma-mask = 0xffff\nslot = 5\nfunction = 1\n";
        let word = "edu,irq=intx,mapped=on,dma_mask=0xffff,slot=5,function=1";
        let given = DeviceRequest::of_word(word).expect("a device");
        assert_eq!(device(keys).expect("a device"), given);
        let wide = device("dma-mask = '0xffffffffffffffff'\n").expect("a device");
        assert_eq!(wide.options.dma_mask, Some(u64::MAX));
        for (keys, words) in [
            ("irq = 'smoke'\n", &[":4:", "smoke"][..]),
            ("dma-mask = -1\n", &[":4:", "dma-mask: give a number"]),
            ("slot = 256\n", &[":4:", "256"]),
        ] {
            let error = device(keys).expect_err(keys);
            for word in words {
                assert!(error.contains(word), "no {word:?} in: {error}");
            }
        }
    }

    #[test]
    fn a_module_of_the_kernel_is_given_by_its_name() {
        let sources = |text: &str| -> Vec<String> {
            let description = parse(text).expect(text);
            let modules = description.modules.iter();
            modules.map(|module| module.source.to_string()).collect()
        };
        assert_eq!(sources("module = 'uio_pci_generic'\n"), ["uio_pci_generic"]);
        assert_eq!(
            sources("module = ['vfio-pci', { path = '/m.ko' }, { name = 'uio' }]\n"),
            ["vfio-pci", "/m.ko", "uio"]
        );
        assert_eq!(
            sources("[[module]]\nname = 'uio'\nparameters = { a = 1 }\n"),
            ["uio"]
        );
        assert!(
            parse("module = 'uio'\niommu = true\n")
                .expect("a scenario")
                .iommu
        );
    }

    #[test]
    fn what_is_wrong_is_named_by_line_and_key() {
        for (text, words) in [
            ("agent = 'x'\nlimits = 5\n", &[":2:", "limits"][..]),
            ("agent = 'x'\nlimit = -1\n", &[":2:", "-1"]),
            ("agent = 'x'\nexit = 256\n", &[":2:", "256"]),
            ("agent = 'x'\nlimit = \n", &[":2:"]),
            (
                "agent = 'x'\n[[device]]\nnmae = 'event'\n",
                &[":3:", "nmae"],
            ),
            (
                "[[module]]\npath = 'x'\nparameters = { a = [1] }\n",
                &[":3:", "a parameter is"],
            ),
            (
                "agent = 'x'\n[[device]]\nname = 'toaster'\n",
                &["toaster", "event"],
            ),
            (
                "agent = 'x'\n[[device]]\nname = 'event'\nsocket = 'x'\n",
                &["one of"],
            ),
            (
                "agent = 'x'\n[[device]]\nname = 'edu'\nfaults = ['irq-last']\n",
                &[":4:", "no fault `irq-last`"],
            ),
            ("module = 5\n", &[":1:", "the name of a module"]),
            ("module = [5]\n", &[":1:", "its name, or a table"]),
            ("[[module]]\npth = 'x'\n", &[":2:", "pth"]),
            (
                "[[module]]\npath = 'x'\nname = 'y'\n",
                &["[[module]] has one of"],
            ),
            (
                "agent = 'x'\n[[when]]\nsays = 'x'\nplug = 'edu'\n",
                &[":4:", "a device is as { name"],
            ),
            (
                "agent = 'x'\n[[when]]\nsays = 'x'\n",
                &["[[when]] has one of", "unplug = true"],
            ),
            (
                "agent = 'x'\n[[when]]\nsays = 'x'\nunplug = true\nfaults = ['removed']\n",
                &["[[when]] has one of"],
            ),
            ("agent = 'x'\n[[when]]\nunplug = true\n", &[":2:", "says"]),
            (
                "agent = 'x'\n[[when]]\nsays = 'x'\nsuspend = 'disk'\n",
                &[":4:", "disk", "freeze", "mem"],
            ),
            (
                "agent = 'x'\n[[when]]\nsays = 'x'\nsuspend = 'mem'\nwake = '2'\n",
                &[":5:", "\"2\"", "unit"],
            ),
            (
                "agent = 'x'\n[[when]]\nsays = 'x'\nunplug = true\nwake = '2s'\n",
                &["wake", "suspend"],
            ),
            (
                "agent = 'x'\n[[when]]\nsays = 'x'\nport = 0\nsuspend = 'mem'\n",
                &["port", "the whole guest"],
            ),
            ("", &["nothing to test"]),
        ] {
            let error = parse(text).expect_err(text);
            for word in words {
                assert!(error.contains(word), "no {word:?} in: {error}");
            }
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
