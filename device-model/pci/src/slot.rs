// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Several functions in one slot of a bus, each served at a socket of its own:
//! vfio-user knows no functions, the hypervisor puts them together.

use std::path::{Path, PathBuf};

use crate::{
    device::PciDevice,
    server::{Options, ServeError, Server, ServerHandle},
};

/// Functions of one slot.
const MAX_FUNCTIONS: usize = 8;

/// A slot that cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SlotError {
    /// More than fit.
    #[error("{0} functions in one slot: it takes 8")]
    TooMany(usize),
    /// One of them cannot be served.
    #[error("function {function} cannot be served")]
    Serve {
        /// Its number.
        function: usize,
        /// Why not.
        source: ServeError,
    },
}

/// The functions of one slot, from function 0 on.
///
/// # Example
/// ```no_run
/// use std::path::Path;
/// use irqbed_pci::{DeviceSpec, Identity, PciDevice, Slot};
///
/// struct Function(u16);
///
/// impl PciDevice for Function {
///     fn spec(&self) -> DeviceSpec {
///         DeviceSpec::new(Identity::new(0x1bed, self.0))
///     }
/// }
///
/// let slot = Slot::default().function(Function(1)).function(Function(2));
/// let served = slot.serve(Path::new("/run/user/1000/card"))?;
/// println!("qemu-system-x86_64 ... {}", served.qemu_arguments(5).join(" "));
/// # Ok::<(), irqbed_pci::slot::SlotError>(())
/// ```
#[derive(Default)]
pub struct Slot {
    functions: Vec<Box<dyn PciDevice>>,
    options: Options,
}

impl Slot {
    /// Adds the next function.
    #[must_use]
    pub fn function(mut self, device: impl PciDevice) -> Self {
        self.functions.push(Box::new(device));
        self
    }

    /// How the functions are served.
    #[must_use]
    pub const fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Serves each function at a socket: `path` if there is one, else
    /// `path.0`, `path.1` and so on.
    ///
    /// # Errors
    /// When one cannot be served; none is served then.
    pub fn serve(self, path: &Path) -> Result<ServedSlot, SlotError> {
        let (count, options) = (self.functions.len(), self.options);
        if count > MAX_FUNCTIONS {
            return Err(SlotError::TooMany(count));
        }
        let mut served = ServedSlot::default();
        for (function, device) in self.functions.into_iter().enumerate() {
            let path = if count == 1 {
                path.to_path_buf()
            } else {
                let mut numbered = path.as_os_str().to_owned();
                numbered.push(format!(".{function}"));
                numbered.into()
            };
            let serve = |path: &Path| Server::bind(path)?.options(options).serve(device);
            let server = serve(&path).map_err(|source| SlotError::Serve { function, source })?;
            served.servers.push(server);
            served.sockets.push(path);
        }
        Ok(served)
    }
}

/// The functions of a slot, each with a server of its own.
#[derive(Debug, Default)]
pub struct ServedSlot {
    /// The servers, by function.
    pub servers: Vec<ServerHandle>,
    /// Their sockets, by function.
    pub sockets: Vec<PathBuf>,
}

impl ServedSlot {
    /// What QEMU 10.1 or newer is to be given, as single arguments, to see the
    /// functions in a slot of the root bus; a function alone goes wherever
    /// there is room. QEMU wants function 0 last.
    #[must_use]
    pub fn qemu_arguments(&self, slot: u8) -> Vec<String> {
        let several = self.sockets.len() > 1;
        let numbered = self.sockets.iter().enumerate().rev();
        let devices = numbered.map(|(function, socket)| {
            // Debug quotes a string as JSON does, for all that a path should
            // contain.
            let socket = format!("{:?}", socket.display().to_string());
            let place = if several {
                format!(r#","addr":"{slot:x}.{function}","multifunction":true"#)
            } else {
                String::new()
            };
            format!(
                r#"{{"driver":"vfio-user-pci","socket":{{"type":"unix","path":{socket}}}{place}}}"#
            )
        });
        devices
            .flat_map(|device| ["-device".to_owned(), device])
            .collect()
    }
}
