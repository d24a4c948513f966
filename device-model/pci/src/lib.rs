// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PCI devices in Rust, served to a hypervisor over vfio-user.
//!
//! A device is a type that implements [`PciDevice`]: it describes itself by a
//! [`DeviceSpec`], answers accesses to its BARs, whose [`registers!`] it
//! declares by name, and is handed a [`Bus`] to act on its own: [`Irq`]s to
//! interrupt, [`Dma`] to reach the guest's memory, [`Timers`](timer::Timers) to be called
//! back. [`serve`] puts it behind a connected socket, [`Server::bind`] behind
//! a path, [`Slot`] several functions behind a path each.
//!
//! What stands here is what each device needs, the rest is in the modules. Each knows only
//! those before it: `vfio_user`, `shared_memory`, `bar`, `capability`, `register`, `window`,
//! `recorder`, `spec`, `config_space`, `device_panic`, `guest_access`, `bus_hook`, `irq`,
//! `dma`, `hook`, `timer`, `device`, `attached`, `server`, `slot`.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod attached;
pub mod bar;
mod bus_hook;
pub mod capability;
pub mod config_space;
pub mod device;
mod device_panic;
pub mod dma;
mod guest_access;
pub mod hook;
pub mod irq;
pub mod recorder;
pub mod register;
pub mod server;
pub mod shared_memory;
pub mod slot;
pub mod spec;
pub mod timer;
mod window;

pub use irqbed_vfio_user as vfio_user;

pub use bar::{Bar, BarIndex};
pub use capability::{IntxPin, Msi};
pub use device::{Bus, PciDevice, PowerState, ResetKind};
pub use dma::{Dma, DmaError, GuestAddr};
pub use irq::{Irq, IrqError, Signalled};
pub use register::Registers;
pub use server::{Options, Server, ServerHandle, serve};
pub use shared_memory::SharedMemory;
pub use slot::Slot;
pub use spec::{DeviceSpec, Identity};
pub use timer::TimerId;

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// The modules as the paragraph at the top of this file orders them.
    fn order() -> Vec<&'static str> {
        let (_, list) = include_str!("lib.rs")
            .split_once("those before it:")
            .expect("it");
        let (list, _) = list.split_once('.').expect("its end");
        list.split('`').skip(1).step_by(2).collect()
    }

    /// Fails where a module, or a file of its folder, knows one that is not `before` it.
    fn check(path: &Path, module: &str, before: &[&str], order: &[&str]) {
        if path.is_dir() {
            for entry in fs::read_dir(path).expect("a folder") {
                check(&entry.expect("an entry").path(), module, before, order);
            }
            return;
        }
        if path.to_string_lossy().ends_with("tests.rs") {
            return;
        }
        let text = fs::read_to_string(path).expect("a source");
        let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        let lines = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let code = lines.collect::<Vec<_>>().join("\n");
        for known in code.split("crate::").skip(1) {
            let end = if known.starts_with('{') { ';' } else { ':' };
            let known = known.split(end).next().unwrap_or_default();
            for known in known.split(|c: char| !c.is_alphanumeric() && c != '_') {
                let is_above = order.contains(&known) && !before.contains(&known);
                assert!(!is_above || known == module, "{}: {known}", path.display());
            }
        }
    }

    #[test]
    fn each_module_knows_only_those_before_it() {
        let (order, sources) = (order(), Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        for entry in fs::read_dir(&sources).expect("the sources") {
            let path = entry.expect("an entry").path();
            let module = path.file_stem().expect("a name").to_string_lossy();
            if module == "lib" || module.ends_with("_tests") {
                continue;
            }
            let place = order.iter().position(|of| *of == module).expect(&module);
            let before = order.get(..place).unwrap_or_default();
            check(&path, &module, before, &order);
        }
    }
}
