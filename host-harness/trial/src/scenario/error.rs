// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is wrong with a scenario: each in one line, before a guest is started.

use std::{io, path::PathBuf};

use irqbed_machine::{artefacts::ArtefactError, qemu::Address};

/// A scenario that cannot be run as it was written.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A file cannot be read.
    #[error("cannot read the {what} {path}: {error}", path = .path.display())]
    Unreadable {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A scenario's file is not as it should be.
    #[error("{path}:{line}: {message}", path = .path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A scenario's file asks for nothing.
    #[error("{path}: nothing to test: give `agent`, a program, or a [[module]]", path = .0.display())]
    NothingIn(PathBuf),
    /// There is nothing to do.
    #[error("nothing to test: give a program (--agent), a module (--module), or a scenario's file")]
    Nothing,
    /// No device has this name.
    #[error(
        "there is no device {name:?}; there is: {known} (or --socket PATH, where a device model of your own listens)"
    )]
    UnknownDevice {
        /// The name.
        name: String,
        /// Those there are.
        known: String,
    },
    /// A device cannot be as its options say.
    #[error("the device {device} cannot have {why}")]
    Option {
        /// The device.
        device: String,
        /// Which option, and what there is.
        why: String,
    },
    /// A device that is plugged in is to be at an address.
    #[error("a port takes one device, in its slot 0: leave out slot and function")]
    InPort,
    /// A device cannot be where it is to be.
    #[error("no device can be at {address}: {why}")]
    Address {
        /// Where.
        address: Address,
        /// Why not.
        why: String,
    },
    /// More devices than have room.
    #[error("{0} devices are more than a guest takes, which is {max}", max = super::MAX_DEVICES)]
    TooManyDevices(usize),
    /// A device of no kind, or of several.
    #[error(
        "a [[device]], and what a [[when]] plugs in, has one of: name (of one that is built in), \
         socket, command"
    )]
    OneOf,
    /// A module of no kind, or of several.
    #[error("a [[module]] has one of: path (of a file), name (of one of the guest's kernel)")]
    OneModule,
    /// A step that does nothing, or several things.
    #[error(
        "a [[when]] has one of: plug = {{ name = \"edu\" }} with the keys of a [[device]], \
         unplug = true, faults = [\"KIND\"] of the device in the port, \
         suspend = \"freeze\" or \"mem\""
    )]
    OneAction,
    /// How a sleep is to be, and none.
    #[error(
        "a [[when]] has `wake` or `pm-test`, and no `suspend`: give suspend = \"freeze\" or \"mem\""
    )]
    NoSuspend,
    /// A port that would sleep alone.
    #[error("a [[when]] has `port` and `suspend`: it is the whole guest that is suspended")]
    PortOfSuspend,
    /// A step that cannot be.
    #[error("[[when]], {step}: {why}")]
    Step {
        /// What it asks for.
        step: String,
        /// Why not.
        why: String,
    },
    /// Steps, and no program whose lines they wait for.
    #[error("a [[when]] waits for a line of the program's, and there is none: give `agent`")]
    NobodySays,
    /// A command that starts no device model.
    #[error("the device's command {command:?} cannot be: {why}")]
    Command {
        /// The command.
        command: String,
        /// Why not.
        why: String,
    },
    /// No device model can be reached.
    #[error("no device model can be reached at {path}: {why}", path = .path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file that is no module.
    #[error("{path} is no kernel module: {why}", path = .path.display())]
    NoModule {
        /// The file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// A module that the kernel does not have.
    #[error(
        "the guest's kernel {release} has no module {name:?} (looked for below {folders}){}; for a \
         module of your own give the path of its file, as ./{name}.ko",
        similar_names(.similar)
    )]
    NoStockModule {
        /// The name.
        name: String,
        /// The kernel.
        release: String,
        /// Where it was looked for.
        folders: String,
        /// Names like it.
        similar: Vec<String>,
    },
    /// A module of another kernel.
    #[error(
        "the module {path} was built for kernel {built_for}, but the guest's is {release}: build it by \
         `irqbed build FOLDER`",
        path = .path.display()
    )]
    OtherKernel {
        /// The module.
        path: PathBuf,
        /// The kernel it was built for.
        built_for: String,
        /// That of the guest.
        release: String,
    },
    /// A parameter of a module that cannot be passed.
    #[error("the module {module} cannot have the parameter {parameter:?}: {why}")]
    Parameter {
        /// The module.
        module: String,
        /// The parameter.
        parameter: String,
        /// Why not.
        why: String,
    },
    /// A program that the guest cannot run.
    #[error("the guest cannot run {path}: {why}", path = .path.display())]
    Program {
        /// The program.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// A place in the guest that cannot be.
    #[error("a file cannot be {path:?} in the guest: {why}")]
    Place {
        /// The path.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// Files that fill the guest's memory.
    #[error(
        "files of {files_mib} MiB are too large for a guest of {memory_mib} MiB: give it more memory"
    )]
    TooLarge {
        /// Their size.
        files_mib: u64,
        /// The guest's memory.
        memory_mib: u32,
    },
    /// A number out of its range.
    #[error("{key} is {value}: give {range}")]
    OutOfRange {
        /// What it is.
        key: &'static str,
        /// What was given.
        value: u64,
        /// What can be given.
        range: &'static str,
    },
    /// A device cannot have a fault that it was given.
    #[error("the device {device} cannot have the fault {why}")]
    Fault {
        /// The device.
        device: &'static str,
        /// Which fault, and why not.
        why: String,
    },
    /// A device is to be without MSI-X that always has it, or never.
    #[error("the device {0} is as it is: only the event device can be had without MSI-X")]
    NoChoiceOfMsix(String),
    /// A device of somebody else's was given faults.
    #[error(
        "the device {0} cannot be given faults: one that is built in can (event, edu, nic-lite), \
         and one whose command names a control socket, as {{control}}"
    )]
    NoFaults(String),
    /// Faults, and no device to have them.
    #[error("--fault: the guest has no device that is built in: give --device NAME")]
    FaultOfNone,
    /// Faults, and several devices that could have them.
    #[error(
        "--fault: the guest has several devices that are built in ({0}): say whose by \
         `faults = [\"KIND\"]` in a scenario's [[device]]"
    )]
    FaultOfSeveral(String),
    /// Nobody would listen at the control socket.
    #[error(
        "nobody would listen at {control} in {name:?}: its guest has no device that is built in \
         (event, edu, nic-lite), and no ports",
        control = .control.display()
    )]
    NothingToAsk {
        /// The socket.
        control: PathBuf,
        /// The scenario.
        name: String,
    },
    /// A part of the guest is not there.
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
}

fn similar_names(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; similar ones are {}", names.join(", ")),
    }
}
