// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device that panics. Whichever of its parts does, on whichever thread, it
//! ends in one way: nobody calls the device any more, its connection is closed,
//! and [`ServerEnd::Panicked`](crate::server::ServerEnd::Panicked) says what happened. So
//! does one line on stderr, for whoever watches the process, and a file beside
//! its socket, for whoever only knows that.

use std::{
    any::Any,
    fmt, fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use crate::spec::Identity;

/// How the line on stderr begins.
const PREFIX: &str = "irqbed: ";

/// A device that panicked.
///
/// Its text form is one line, and can be parsed:
/// ```
/// use irqbed_pci::server::DevicePanic;
/// let text = "device 1bed:d1ce panicked in timer(): no dice";
/// let panic = DevicePanic::find(&format!("a log\nirqbed: {text}\n")).unwrap();
/// assert_eq!((panic.ids, &*panic.place), (Some((0x1bed, 0xd1ce)), "timer()"));
/// assert_eq!(panic.to_string(), text);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePanic {
    /// Vendor and device id; `None` where it panicked before it had said them.
    pub ids: Option<(u16, u16)>,
    /// What it was doing: the name of a method of [`PciDevice`](crate::PciDevice)
    /// with parentheses, `drop()`, or a thread.
    pub place: String,
    /// The message of the panic, in one line.
    pub message: String,
}

impl fmt::Display for DevicePanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ids {
            Some((vendor, device)) => write!(f, "device {vendor:04x}:{device:04x}")?,
            None => f.write_str("device of unknown ids")?,
        }
        write!(f, " panicked in {}: {}", self.place, self.message)
    }
}

impl DevicePanic {
    /// The first such line in what a device model's program wrote to stderr, or in
    /// the [file](Self::file) beside its socket.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        text.lines().find_map(Self::parse)
    }

    fn parse(line: &str) -> Option<Self> {
        let line = line.strip_prefix(PREFIX)?.strip_prefix("device ")?;
        let (ids, what) = line.split_once(" panicked in ")?;
        let (place, message) = what.split_once(": ")?;
        let hex = |id: &str| u16::from_str_radix(id, 16).ok();
        let ids = ids.split_once(':');
        Some(Self {
            ids: ids.and_then(|(vendor, device)| hex(vendor).zip(hex(device))),
            place: place.to_owned(),
            message: message.to_owned(),
        })
    }

    /// Where a device that is served at a path leaves this line when it panics:
    /// the path with `.panicked` behind it. It is removed when the path is used
    /// anew.
    #[must_use]
    pub fn file(socket: &Path) -> PathBuf {
        let mut path = socket.as_os_str().to_owned();
        path.push(".panicked");
        path.into()
    }

    /// Says it on stderr, whether the program has a log or not.
    fn print(&self) {
        let line = format!("{PREFIX}{self}\n");
        // In one piece; there is nobody to be told that nobody reads it.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn leave_at(&self, socket: &Path) {
        let mut options = fs::OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let left = options
            .open(Self::file(socket))
            .and_then(|mut file| writeln!(file, "{PREFIX}{self}"));
        if let Err(error) = left {
            tracing::warn!("no file beside {} says so: {error}", socket.display());
        }
    }
}

/// Takes note of the first panic of one device. Clones speak of the same device.
#[derive(Clone, Default)]
pub(crate) struct PanicWatch {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    ids: OnceLock<(u16, u16)>,
    panic: OnceLock<DevicePanic>,
    /// What is done about it, once.
    then: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl fmt::Debug for PanicWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PanicWatch").field(&self.panic()).finish()
    }
}

impl PanicWatch {
    /// Whose panics they are.
    pub fn identify(&self, identity: &Identity) {
        let _ = self.inner.ids.set((identity.vendor, identity.device));
    }

    /// The panic, if there was one.
    pub fn panic(&self) -> Option<&DevicePanic> {
        self.inner.panic.get()
    }

    /// Does something of the device's; `None` where that panics.
    pub fn run<T>(&self, place: &str, act: impl FnOnce() -> T) -> Option<T> {
        // Nobody sees the device's state any more when it has panicked.
        match catch_unwind(AssertUnwindSafe(act)) {
            Ok(done) => Some(done),
            Err(panic) => {
                self.note(place, &*panic);
                None
            }
        }
    }

    fn note(&self, place: &str, panic: &(dyn Any + Send)) {
        let panic = DevicePanic {
            ids: self.inner.ids.get().copied(),
            place: place.to_owned(),
            message: message(panic),
        };
        panic.print();
        if self.inner.panic.set(panic).is_ok() {
            self.carry_out();
        }
    }

    /// What is done about a panic: now, if there was one.
    pub fn then(&self, act: impl FnOnce() + Send + 'static) {
        *self.lock() = Some(Box::new(act));
        if self.panic().is_some() {
            self.carry_out();
        }
    }

    /// The device is served at that path: whoever knows it finds out there.
    pub fn leave_at(&self, socket: &Path) {
        if let Some(panic) = self.panic() {
            panic.leave_at(socket);
        }
    }

    fn carry_out(&self) {
        let act = self.lock().take();
        if let Some(act) = act {
            act();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Box<dyn FnOnce() + Send>>> {
        let then = self.inner.then.lock();
        then.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The message of a panic, in one line.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "a panic without a message".into());
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
