// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long an interrupt of a device of QEMU takes to reach a process, by the
//! module of `bench/peers`, whose header says what lies where.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read},
    os::fd::{AsRawFd, OwnedFd},
    str::FromStr,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::{EventfdFlags, eventfd},
    ioctl::{Setter, ioctl, opcode},
};

use crate::{
    memory::{Page, now},
    ticks::Ticks,
};

/// Offsets in the page of a device.
mod page {
    pub const RAISED: usize = 0;
    pub const ISR: usize = 64;
    pub const USER: usize = 128;
    pub const DONE: usize = 136;
}

/// An event of this number is none: a listener is ready, or is to end.
const NONE: u64 = u64::MAX;
/// Where the registers of edu begin in its device file.
const REGISTERS: u64 = 0x1000;
/// How long the process before may take to go.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the process waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Blocking `read` of an eventfd.
    Eventfd,
    /// Blocking `read` of the device file.
    Read,
}

impl FromStr for Wait {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "eventfd" => Ok(Self::Eventfd),
            "read" => Ok(Self::Read),
            _ => bail!("{word:?} is not eventfd or read"),
        }
    }
}

/// How edu is made to interrupt.
#[derive(Debug, Clone, Copy)]
pub enum Cause {
    /// At once, by the thread that is the processor.
    Raise,
    /// When its own thread has computed a factorial.
    Factorial,
}

impl FromStr for Cause {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "raise" => Ok(Self::Raise),
            "factorial" => Ok(Self::Factorial),
            _ => bail!("{word:?} is not raise or factorial"),
        }
    }
}

/// A device, and what to wait at.
struct Device {
    file: File,
    page: Page,
    wait: File,
}

impl Device {
    fn open(path: &str, wait: Wait) -> Result<Self> {
        let file = open(path)?;
        let page = Page::of(&file, 0).with_context(|| format!("cannot map {path}"))?;
        let wait = match wait {
            Wait::Read => file.try_clone()?,
            Wait::Eventfd => {
                let signal = eventfd(0, EventfdFlags::CLOEXEC)?;
                tell(&file, &signal).with_context(|| format!("{path} takes no eventfd"))?;
                signal.into()
            }
        };
        Ok(Self { file, page, wait })
    }

    /// Waits for an interrupt; when the process was back.
    fn interrupt(&mut self) -> Result<u64> {
        let mut count = [0; 8];
        self.wait
            .read_exact(&mut count)
            .context("cannot wait for an interrupt")?;
        Ok(now())
    }
}

/// A device is open to one process at a time.
fn open(path: &str) -> Result<File> {
    let since = Instant::now();
    loop {
        match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy && since.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(5));
            }
            outcome => return outcome.with_context(|| format!("cannot open {path}")),
        }
    }
}

/// `PEER_IOC_EVENTFD`.
#[allow(unsafe_code)]
fn tell(file: &File, signal: &OwnedFd) -> rustix::io::Result<()> {
    const EVENTFD: rustix::ioctl::Opcode = opcode::write::<i32>(0xb6, 1);
    // SAFETY: this ioctl reads one `s32` by the pointer, as the header has it.
    unsafe { ioctl(file, Setter::<EVENTFD, i32>::new(signal.as_raw_fd())) }
}

/// Stamps the interrupts that the host causes by ivshmem, until it says that
/// there will be no more.
pub fn listen(wait: Wait) -> Result<()> {
    let mut device = Device::open("/dev/peer-ivshmem", wait)?;
    let page = device.page;
    page.word64(page::DONE).store(NONE, Ordering::Release);
    loop {
        let user = device.interrupt()?;
        let number = page.word64(page::RAISED).load(Ordering::Acquire);
        if number == NONE {
            return Ok(());
        }
        page.word64(page::USER).store(user, Ordering::Relaxed);
        page.word64(page::DONE).store(number, Ordering::Release);
    }
}

/// Has edu interrupt so often, and prints for each how long it took to the
/// handler and to this process.
pub fn edu(cause: Cause, count: u64, interval_us: u64) -> Result<()> {
    const FACTORIAL: usize = 0x08;
    const STATUS: usize = 0x20;
    const STATUS_INTERRUPT: u32 = 0x80;
    const RAISE: usize = 0x60;

    let mut device = Device::open("/dev/peer-edu", Wait::Eventfd)?;
    let registers = Page::of(&device.file, REGISTERS).context("cannot map the registers of edu")?;
    let (register, value) = match cause {
        Cause::Raise => (registers.word32(RAISE), 1),
        Cause::Factorial => {
            registers
                .word32(STATUS)
                .store(STATUS_INTERRUPT, Ordering::Release);
            (registers.word32(FACTORIAL), 3)
        }
    };
    let mut ticks = Ticks::every(Duration::from_micros(interval_us))?;
    // The kernel maps a page when it is touched, which is not to be measured.
    register.load(Ordering::Relaxed);
    for _ in 0..count {
        ticks.wait()?;
        let raise = now();
        register.store(value, Ordering::Release);
        let user = device.interrupt()?;
        let isr = device.page.word64(page::ISR).load(Ordering::Acquire);
        println!("{} {}", isr - raise, user - raise);
    }
    Ok(())
}
