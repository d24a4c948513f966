// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The least that an interrupt from a thread to a guest costs on this machine:
//! a guest of a few instructions on KVM with its interrupt controller in the
//! kernel, which sleeps until a message-signalled interrupt arrives by irqfd,
//! and whose handler leaves for the host with its first instruction.
//!
//! From the write to the eventfd to the return of `KVM_RUN` there is nothing but
//! KVM, the scheduler and the processor: no hypervisor process, no bus, no
//! kernel in the guest. The guest stays in real mode, which even a KVM runs that
//! cannot run a 64-bit kernel.

#![allow(unsafe_code)]

use std::{
    arch::global_asm,
    io, slice,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use kvm_bindings::{
    KVM_IRQ_ROUTING_MSI, KvmIrqRouting, kvm_irq_routing_entry, kvm_lapic_state, kvm_regs,
    kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use rustix::io::Errno;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EventFd};

/// An interrupt that has not come by then never will.
const LIMIT: Duration = Duration::from_secs(2);
/// Interrupts a second, as `irqbed bench` has it: the processor is idle before
/// each.
const GAP: Duration = Duration::from_millis(1);

const MEMORY: usize = 0x1_0000;
/// Three pages that KVM wants for itself on Intel's processors, far from ours.
const TSS: usize = 0xfffb_d000;
const CODE: u64 = 0x1000;
const STACK_TOP: u64 = 0x8000;
/// The local APIC of a processor after reset.
const APIC: u64 = 0xfee0_0000;
/// Its register of spurious interrupts, by whose bit 8 it is switched on.
const APIC_SPURIOUS: usize = 0xf0;
/// Its end of interrupt.
const APIC_EOI: u16 = 0xb0;
/// The vector that the message asks for, and the entry of the irqfd.
const VECTOR: u8 = 0x40;
const GSI: u32 = 24;

/// Where the guest says that it is ready, and that its handler has begun.
const READY: u8 = 0xf3;
const HANDLER: u8 = 0xf4;

global_asm!(
    r#"
    .pushsection .rodata
    .globl irqbed_floor_start, irqbed_floor_handler, irqbed_floor_end
    .hidden irqbed_floor_start, irqbed_floor_handler, irqbed_floor_end
    .code16
irqbed_floor_start:
    out {ready}, al
2:  sti
    hlt
    jmp 2b
irqbed_floor_handler:
    out {handler}, al
    // DS begins at the local APIC.
    mov dword ptr [{eoi}], eax
    iret
irqbed_floor_end:
    .code64
    .popsection
    "#,
    ready = const READY,
    handler = const HANDLER,
    eoi = const APIC_EOI,
);

unsafe extern "C" {
    #[link_name = "irqbed_floor_start"]
    static START: u8;
    #[link_name = "irqbed_floor_handler"]
    static HANDLER_AT: u8;
    #[link_name = "irqbed_floor_end"]
    static END: u8;
}

/// The guest's code, and where in it its handler begins, bytes.
fn code() -> (&'static [u8], usize) {
    let (start, handler, end) = (&raw const START, &raw const HANDLER_AT, &raw const END);
    // SAFETY: the labels lie in the same read-only section, in this order, and
    // what is between them is never written.
    let code = unsafe { slice::from_raw_parts(start, end.addr() - start.addr()) };
    (code, handler.addr() - start.addr())
}

/// Why there is no floor to be measured.
#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    /// No KVM, or not for us.
    #[error("KVM cannot be opened: {0}")]
    NoKvm(io::Error),
    /// Setting up failed.
    #[error("KVM fails to {step}: {error}")]
    SetUp {
        /// What was tried.
        step: &'static str,
        /// What the system said.
        error: String,
    },
    /// The guest did what it was not told to.
    #[error("KVM cannot run a guest in real mode: {0}")]
    Stopped(String),
    /// No interrupt arrived.
    #[error("KVM brings no interrupt to a guest in real mode within {0:?}")]
    Silent(Duration),
}

fn set_up(step: &'static str, error: impl ToString) -> FloorError {
    let error = error.to_string();
    FloorError::SetUp { step, error }
}

/// What the thread of the virtual processor tells.
enum News {
    Ready,
    Handler(Instant),
    Stopped(String),
}

/// A guest that waits for interrupts. Dropping it ends it.
#[derive(Debug)]
pub struct MicroGuest {
    irq: EventFd,
    told: Receiver<News>,
    stop: Arc<AtomicBool>,
    vcpu: Option<JoinHandle<()>>,
}

impl MicroGuest {
    /// Starts the guest and tries an interrupt out.
    ///
    /// # Errors
    /// [`FloorError`]: on many machines there is none.
    pub fn start() -> Result<Self, FloorError> {
        let irq = EventFd::new(EFD_CLOEXEC).map_err(|error| set_up("make an eventfd", error))?;
        let parts = Parts::new(&irq)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, told) = mpsc::channel();
        let until = Arc::clone(&stop);
        let vcpu = thread::Builder::new()
            .name("kvm-floor".to_owned())
            .spawn(move || parts.run(&tell, &until))
            .map_err(|error| set_up("start a thread", error))?;
        let mut guest = Self {
            irq,
            told,
            stop,
            vcpu: Some(vcpu),
        };
        while !matches!(guest.news()?, News::Ready) {}
        guest.interrupt()?;
        Ok(guest)
    }

    fn news(&self) -> Result<News, FloorError> {
        match self.told.recv_timeout(LIMIT) {
            Ok(News::Stopped(why)) => Err(FloorError::Stopped(why)),
            Ok(news) => Ok(news),
            Err(RecvTimeoutError::Timeout) => Err(FloorError::Silent(LIMIT)),
            Err(RecvTimeoutError::Disconnected) => {
                Err(FloorError::Stopped("its thread is gone".to_owned()))
            }
        }
    }

    /// Interrupts the guest once it has had time to sleep; returns how long it
    /// took from before the write to the eventfd to the thread that runs the
    /// guest, out of KVM again because of the handler's first instruction.
    ///
    /// # Errors
    /// [`FloorError`].
    pub fn interrupt(&mut self) -> Result<Duration, FloorError> {
        thread::sleep(GAP);
        let raised = Instant::now();
        self.irq
            .write(1)
            .map_err(|error| set_up("take an interrupt", error))?;
        loop {
            if let News::Handler(at) = self.news()? {
                return Ok(at.duration_since(raised));
            }
        }
    }
}

impl Drop for MicroGuest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // The handler gets the thread out of KVM. One that hangs is left: it
        // ends with the process.
        let _ = self.irq.write(1);
        let gone = loop {
            match self.told.recv_timeout(LIMIT) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break true,
                Err(RecvTimeoutError::Timeout) => break false,
            }
        };
        if let Some(vcpu) = self.vcpu.take().filter(|_| gone) {
            let _ = vcpu.join();
        }
    }
}

/// A virtual machine, in the order in which its parts may go.
struct Parts {
    vcpu: VcpuFd,
    _vm: VmFd,
    _memory: GuestMemoryMmap,
}

impl Parts {
    fn new(irq: &EventFd) -> Result<Self, FloorError> {
        let kvm = Kvm::new().map_err(|error| FloorError::NoKvm(error.into()))?;
        let vm = kvm
            .create_vm()
            .map_err(|error| set_up("create a virtual machine", error))?;
        vm.set_tss_address(TSS)
            .map_err(|error| set_up("set aside its own pages", error))?;
        vm.create_irq_chip()
            .map_err(|error| set_up("create an interrupt controller", error))?;
        let memory = memory().map_err(|error| set_up("fill guest memory", error))?;
        let userspace_addr = memory
            .get_host_address(GuestAddress(0))
            .map_err(|error| set_up("find guest memory", error))?
            .addr() as u64;
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: MEMORY as u64,
            userspace_addr,
        };
        // SAFETY: `memory` maps these bytes, nothing else refers to them, and
        // it is dropped after `vm` and the virtual processor.
        unsafe { vm.set_user_memory_region(region) }
            .map_err(|error| set_up("give memory to the guest", error))?;
        let vcpu = vm
            .create_vcpu(0)
            .map_err(|error| set_up("create a virtual processor", error))?;
        enter_real_mode(&vcpu).map_err(|error| set_up("set real mode", error))?;
        switch_apic_on(&vcpu).map_err(|error| set_up("switch the local APIC on", error))?;
        let routes = KvmIrqRouting::from_entries(&[message()])
            .map_err(|error| set_up("make a route", format!("{error:?}")))?;
        vm.set_gsi_routing(&routes)
            .map_err(|error| set_up("route a message", error))?;
        vm.register_irqfd(irq, GSI)
            .map_err(|error| set_up("connect an eventfd", error))?;
        Ok(Self {
            vcpu,
            _vm: vm,
            _memory: memory,
        })
    }

    /// Runs the guest until it is told to stop, or does what it should not.
    fn run(mut self, tell: &Sender<News>, stop: &AtomicBool) {
        while !stop.load(Ordering::Acquire) {
            let news = match self.vcpu.run() {
                Ok(VcpuExit::IoOut(port, _)) if port == u16::from(HANDLER) => {
                    News::Handler(Instant::now())
                }
                Ok(VcpuExit::IoOut(port, _)) if port == u16::from(READY) => News::Ready,
                Ok(exit) => News::Stopped(format!("unexpected exit {exit:?}")),
                Err(error) if error.errno() == Errno::INTR.raw_os_error() => continue,
                Err(error) => News::Stopped(error.to_string()),
            };
            let last = matches!(news, News::Stopped(_));
            if tell.send(news).is_err() || last {
                return;
            }
        }
    }
}

/// The guest's memory with its code, and the entry of its vector, segment 0.
fn memory() -> Result<GuestMemoryMmap, Box<dyn std::error::Error>> {
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), MEMORY)])?;
    let (code, handler) = code();
    memory.write_slice(code, GuestAddress(CODE))?;
    let entry = CODE as u32 + u32::try_from(handler)?;
    memory.write_obj(entry, GuestAddress(u64::from(VECTOR) * 4))?;
    Ok(memory)
}

fn enter_real_mode(vcpu: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
    let mut sregs = vcpu.get_sregs()?;
    (sregs.cs.base, sregs.cs.selector) = (0, 0);
    (sregs.ss.base, sregs.ss.selector) = (0, 0);
    // What no program in real mode could do, but the processor has no mind:
    // the registers of the local APIC lie in reach of 16-bit addresses.
    sregs.ds.base = APIC;
    vcpu.set_sregs(&sregs)?;
    // Bit 1 of RFLAGS is always set.
    vcpu.set_regs(&kvm_regs {
        rip: CODE,
        rsp: STACK_TOP,
        rflags: 1 << 1,
        ..kvm_regs::default()
    })
}

fn switch_apic_on(vcpu: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
    const ON: u32 = 1 << 8 | 0xff;
    let mut state: kvm_lapic_state = vcpu.get_lapic()?;
    for (register, byte) in state
        .regs
        .iter_mut()
        .skip(APIC_SPURIOUS)
        .zip(ON.to_le_bytes())
    {
        *register = byte.cast_signed();
    }
    vcpu.set_lapic(&state)
}

/// A message to processor 0, fixed delivery, edge (Intel SDM vol. 3, 12.11).
fn message() -> kvm_irq_routing_entry {
    let mut entry = kvm_irq_routing_entry {
        gsi: GSI,
        type_: KVM_IRQ_ROUTING_MSI,
        ..kvm_irq_routing_entry::default()
    };
    entry.u.msi.address_lo = APIC as u32;
    entry.u.msi.data = u32::from(VECTOR);
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handler_leaves_with_its_first_instruction() {
        let (code, handler) = code();
        // `out imm8, al` is E6.
        assert_eq!(code[handler..handler + 2], [0xe6, HANDLER]);
        assert_eq!(code.last(), Some(&0xcf), "a 16-bit iret comes last");
    }

    #[test]
    fn interrupts_arrive_one_by_one_where_there_is_kvm() {
        match MicroGuest::start() {
            Ok(mut guest) => {
                for _ in 0..20 {
                    assert!(guest.interrupt().expect("an interrupt") > Duration::ZERO);
                }
            }
            // Whatever the machine lacks is said.
            Err(error) => assert!(error.to_string().contains("KVM"), "{error}"),
        }
    }
}
