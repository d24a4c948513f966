// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest of a few instructions that shows whether KVM runs 64-bit code.
//!
//! It starts in long mode with identity paging, does what a kernel does early
//! and an incomplete KVM stumbles over, and reports through an I/O port.

#![allow(unsafe_code)]

use std::{
    arch::global_asm,
    slice,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use kvm_bindings::{
    KVM_INTERNAL_ERROR_EMULATION, KVM_MAX_CPUID_ENTRIES, kvm_regs, kvm_segment,
    kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

use super::KvmError;

/// How long the guest may take; it needs microseconds.
const LIMIT: Duration = Duration::from_secs(2);

const MEMORY: usize = 0x40_0000;
/// Three pages that KVM wants for itself on Intel's processors, far from ours.
const TSS: usize = 0xfffb_d000;
const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const PD: u64 = 0x3000;
const CODE: u64 = 0x8000;
const DATA: u64 = 0x9000;
const STACK_TOP: u64 = 0xb000;

/// Where the guest reports, and what.
const PORT: u8 = 0xf4;
const GOOD: u8 = b'+';
const BAD: u8 = b'-';

global_asm!(
    r#"
    .pushsection .rodata
irqbed_probe_start:
    mov r12d, 1
    movdqa xmm0, [rdi + 32]
    movdqa [rdi + 48], xmm0

    mov r12d, 2 // 1:2 is there, so 3:4 goes in and ZF is set
    mov eax, 1
    mov edx, 2
    mov ebx, 3
    mov ecx, 4
    lock cmpxchg16b [rdi]
    jne 2f
    cmp qword ptr [rdi], 3
    jne 2f
    cmp qword ptr [rdi + 8], 4
    jne 2f

    mov r12d, 3 // GS base: 0xc0000101
    mov ecx, 0xc0000101
    mov eax, edi
    xor edx, edx
    wrmsr
    swapgs
    swapgs
    mov rax, gs:[0]
    cmp rax, 3
    jne 2f

    mov r12d, 4
    lock bts qword ptr [rdi], 40
    jc 2f

    mov r12d, 5
    invlpg [rdi]

    mov al, {good}
    jmp 3f
2:  mov al, {bad}
3:  out {port}, al
    hlt
irqbed_probe_end:
    .popsection
    "#,
    good = const GOOD,
    bad = const BAD,
    port = const PORT,
);

/// What the guest was at, by the number it keeps in R12: a copy as `memcpy`
/// does it, what the slab allocator takes pages with, the entry of a system
/// call, an atomic bit operation, and a change of a page table.
const STEPS: [&str; 6] = [
    "its first instruction",
    "SSE",
    "cmpxchg16b",
    "swapgs",
    "lock bts",
    "invlpg",
];

unsafe extern "C" {
    #[link_name = "irqbed_probe_start"]
    static PROBE_START: u8;
    #[link_name = "irqbed_probe_end"]
    static PROBE_END: u8;
}

fn code() -> &'static [u8] {
    let (start, end) = (&raw const PROBE_START, &raw const PROBE_END);
    // SAFETY: both labels lie in the same read-only section, in this order,
    // and what is between them is never written.
    unsafe { slice::from_raw_parts(start, end.addr() - start.addr()) }
}

/// Runs the guest; it is given up after 2 s.
pub(super) fn run() -> Result<(), KvmError> {
    run_within(LIMIT, code())
}

/// Runs a guest on a thread of its own, which a signal gets out of KVM when
/// the guest does not end.
fn run_within(limit: Duration, code: &'static [u8]) -> Result<(), KvmError> {
    let kick = SIGRTMIN();
    extern "C" fn nothing(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}
    register_signal_handler(kick, nothing).map_err(|error| set_up("take a signal", error))?;
    let (tell, told) = mpsc::channel();
    let guest = thread::Builder::new()
        .name("kvm-probe".to_owned())
        .spawn(move || {
            // Nobody listens any more only when the limit is over.
            let _ = tell.send(run_guest(code));
        })
        .map_err(|error| set_up("start a thread", error))?;
    let mut outcome = told.recv_timeout(limit);
    let mut kicks = 0;
    // A signal that comes just before the thread enters KVM is lost.
    while outcome == Err(RecvTimeoutError::Timeout) && kicks < 100 {
        kicks += 1;
        // Fails only when the thread has just ended.
        let _ = guest.kill(kick);
        outcome = told.recv_timeout(Duration::from_millis(10));
    }
    match outcome {
        Ok(outcome) if kicks == 0 => outcome,
        _ => Err(KvmError::Hangs(limit)),
    }
}

fn set_up(step: &'static str, error: impl ToString) -> KvmError {
    KvmError::SetUp {
        step,
        error: error.to_string(),
    }
}

fn run_guest(code: &[u8]) -> Result<(), KvmError> {
    let kvm = Kvm::new().map_err(|error| match error.errno() {
        libc::ENOENT | libc::ENXIO | libc::ENODEV => KvmError::Missing,
        libc::EACCES | libc::EPERM => KvmError::Denied,
        _ => set_up("open /dev/kvm", error),
    })?;
    let vm = kvm
        .create_vm()
        .map_err(|error| set_up("create a virtual machine", error))?;
    vm.set_tss_address(TSS)
        .map_err(|error| set_up("set aside its own pages", error))?;
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), MEMORY)])
        .map_err(|error| set_up("allocate guest memory", error))?;
    fill(&memory, code).map_err(|error| set_up("fill guest memory", error))?;
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
    // SAFETY: `memory` maps these bytes, nothing else refers to them, and it
    // is dropped after `vm` and the virtual processor.
    unsafe { vm.set_user_memory_region(region) }
        .map_err(|error| set_up("give memory to the guest", error))?;
    let mut vcpu = vm
        .create_vcpu(0)
        .map_err(|error| set_up("create a virtual processor", error))?;
    let cpuid = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(|error| set_up("say which features it has", error))?;
    vcpu.set_cpuid2(&cpuid)
        .map_err(|error| set_up("set the features of a processor", error))?;
    enter_long_mode(&vcpu).map_err(|error| set_up("set 64-bit mode", error))?;
    let outcome = judge(&mut vcpu);
    // In this order, for the sake of the memory it was given.
    drop((vcpu, vm));
    drop(memory);
    outcome
}

/// Page tables that map the first 2 MiB to themselves, the code and its data.
fn fill(memory: &GuestMemoryMmap, code: &[u8]) -> Result<(), vm_memory::GuestMemoryError> {
    const PRESENT_WRITABLE: u64 = 0b11;
    const LARGE_PAGE: u64 = 1 << 7;
    memory.write_obj(PDPT | PRESENT_WRITABLE, GuestAddress(PML4))?;
    memory.write_obj(PD | PRESENT_WRITABLE, GuestAddress(PDPT))?;
    memory.write_obj(PRESENT_WRITABLE | LARGE_PAGE, GuestAddress(PD))?;
    memory.write_slice(code, GuestAddress(CODE))?;
    memory.write_obj([1u64, 2, 0, 0], GuestAddress(DATA))
}

/// The state that a 64-bit kernel is entered with (Intel SDM vol. 3, 10.8.5).
fn enter_long_mode(vcpu: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
    // PE, MP, ET, NE, WP, PG.
    const CR0: u64 = 1 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 31;
    // PAE, OSFXSR, OSXMMEXCPT.
    const CR4: u64 = 1 << 5 | 1 << 9 | 1 << 10;
    // LME, LMA.
    const EFER: u64 = 1 << 8 | 1 << 10;
    let data = kvm_segment {
        limit: u32::MAX,
        selector: 0x10,
        type_: 0b0011,
        present: 1,
        db: 1,
        s: 1,
        g: 1,
        ..kvm_segment::default()
    };
    let code = kvm_segment {
        selector: 0x08,
        type_: 0b1011,
        db: 0,
        l: 1,
        ..data
    };
    let mut sregs = vcpu.get_sregs()?;
    sregs.cs = code;
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    (sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer) = (CR0, PML4, CR4, EFER);
    vcpu.set_sregs(&sregs)?;
    // Bit 1 of RFLAGS is always set.
    vcpu.set_regs(&kvm_regs {
        rip: CODE,
        rsp: STACK_TOP,
        rdi: DATA,
        rflags: 1 << 1,
        ..kvm_regs::default()
    })
}

fn judge(vcpu: &mut VcpuFd) -> Result<(), KvmError> {
    let what = match vcpu.run() {
        Ok(VcpuExit::IoOut(port, [GOOD])) if port == u16::from(PORT) => return Ok(()),
        Ok(VcpuExit::IoOut(port, [BAD])) if port == u16::from(PORT) => "wrong result".to_owned(),
        Ok(VcpuExit::InternalError) => internal_error(vcpu),
        Ok(VcpuExit::Shutdown) => "triple fault".to_owned(),
        Ok(VcpuExit::FailEntry(reason, _)) => format!("entry failed ({reason:#x})"),
        Ok(exit) => format!("unexpected exit {exit:?}"),
        Err(error) => error.to_string(),
    };
    let step = vcpu
        .get_regs()
        .ok()
        .and_then(|regs| usize::try_from(regs.r12).ok());
    let step = step.and_then(|number| STEPS.get(number));
    Err(KvmError::CannotRun(match step {
        Some(step) => format!("{what} at {step}"),
        None => what,
    }))
}

/// Only after [`VcpuExit::InternalError`].
fn internal_error(vcpu: &mut VcpuFd) -> String {
    // SAFETY: `internal` is the member of the union that the exit reason
    // selects, and any bits make a valid value of it.
    let error = unsafe { vcpu.get_kvm_run().__bindgen_anon_1.internal.suberror };
    match error {
        KVM_INTERNAL_ERROR_EMULATION => "emulation failure".to_owned(),
        _ => format!("internal error {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What any KVM must find in a guest that does as told; a machine without
    /// KVM has nothing to say.
    fn outcome(code: &'static [u8]) -> Option<KvmError> {
        match run_within(Duration::from_millis(200), code) {
            Err(KvmError::Missing | KvmError::Denied | KvmError::SetUp { .. }) => None,
            Err(error) => Some(error),
            Ok(()) => panic!("it reports nothing good"),
        }
    }

    #[test]
    fn a_guest_that_does_not_end_is_given_up() {
        const SPIN: &[u8] = &[0xeb, 0xfe];
        if let Some(error) = outcome(SPIN) {
            assert_eq!(error, KvmError::Hangs(Duration::from_millis(200)));
        }
    }

    #[test]
    fn a_guest_that_halts_early_says_where() {
        // mov r12d, 3; hlt
        const HALT: &[u8] = &[0x41, 0xbc, 3, 0, 0, 0, 0xf4];
        if let Some(error) = outcome(HALT) {
            assert_eq!(
                error,
                KvmError::CannotRun("unexpected exit Hlt at swapgs".to_owned())
            );
        }
    }
}
