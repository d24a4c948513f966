// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A plugin for QEMU's code generator that logs, while it is armed, every
//! instruction the guest executes ([`irqbed_abi::execution`]), or marks which
//! instructions of kernel modules it has executed ([`irqbed_abi::coverage`]), in
//! memory that the harness shares. It changes nothing of what the guest does or
//! counts: a guest that is logged executes the same instructions as one that
//! is not.
//!
//! Loaded as `-plugin file=...,log=PATH` or `coverage=PATH`, or both.

#![allow(unsafe_code)]

mod coverage;
mod execution_log;
mod jump;
mod memory;
mod qemu;

use std::{
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    io, ptr,
    sync::OnceLock,
};

use irqbed_abi::execution::Kind;

use coverage::Map;
use execution_log::Log;

static LOG: OnceLock<Log> = OnceLock::new();
static MAP: OnceLock<Map> = OnceLock::new();

/// The version of the interface this is written for; QEMU refuses others.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static qemu_plugin_version: c_int = 7;

/// Called by QEMU when it loads the plugin; 0 for success.
///
/// # Safety
/// `argv` holds `argc` strings, as QEMU promises.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: qemu::Id,
    _info: *const c_void,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    let argument = |index: usize| {
        // SAFETY: the index is below `argc`, and each entry is a string.
        unsafe { CStr::from_ptr(*argv.add(index)) }.to_str().ok()
    };
    let arguments = (0..usize::try_from(argc).unwrap_or(0)).filter_map(argument);
    let mut opened = Ok(());
    for argument in arguments {
        opened = opened.and_then(|()| match argument.split_once('=') {
            Some(("log", path)) => Log::open(path).map(|log| drop(LOG.set(log))),
            Some(("coverage", path)) => Map::open(path).map(|map| drop(MAP.set(map))),
            _ => Err(io::Error::other(format!("{argument} is unknown"))),
        });
    }
    if let Err(error) = opened {
        eprintln!("irqbed-tcg-plugin: cannot log: {error}");
        return 1;
    }
    // SAFETY: the callbacks are of the types that version 7 calls them by, and
    // the plugin is never unloaded.
    unsafe {
        qemu::qemu_plugin_register_vcpu_tb_trans_cb(id, translated, ptr::null_mut());
        if LOG.get().is_some() {
            qemu::qemu_plugin_register_vcpu_discon_cb(
                id,
                qemu::DISCON_INTERRUPT | qemu::DISCON_EXCEPTION,
                discontinued,
                ptr::null_mut(),
            );
        }
    }
    0
}

/// The map of what is executed of modules, where one is wanted.
fn map() -> Option<&'static Map> {
    MAP.get()
}

fn record(kind: Kind, address: u64) {
    let Some(log) = LOG.get() else { return };
    if let Some(armed) = log.armed() {
        log.write(armed, kind, address);
    }
}

/// A block was translated: has its instructions report themselves.
extern "C" fn translated(block: *mut qemu::Block, _: *mut c_void) {
    // SAFETY: block and instructions are valid during this call, the index is
    // below their number, and the buffer is as long as is said.
    unsafe {
        for index in 0..qemu::qemu_plugin_tb_n_insns(block) {
            let instruction = qemu::qemu_plugin_tb_get_insn(block, index);
            let address = qemu::qemu_plugin_insn_vaddr(instruction);
            if let Some(map) = map() {
                map.watch(instruction, address);
            }
            if LOG.get().is_none() {
                continue;
            }
            let mut code = [0_u8; 3];
            qemu::qemu_plugin_insn_data(instruction, code.as_mut_ptr().cast(), code.len());
            let callback = if reads_clock(code) {
                read_clock
            } else {
                executed
            };
            qemu::qemu_plugin_register_vcpu_insn_exec_cb(
                instruction,
                callback,
                qemu::CB_NO_REGS,
                address as *mut c_void,
            );
            // The verdict is a store of the agent; the kernel's are many.
            if address >> 63 == 0 {
                qemu::qemu_plugin_register_vcpu_mem_cb(
                    instruction,
                    stored,
                    qemu::CB_NO_REGS,
                    qemu::MEM_W,
                    ptr::null_mut(),
                );
            }
        }
    }
}

/// `rdtsc` or `rdtscp`.
fn reads_clock(code: [u8; 3]) -> bool {
    matches!(code, [0x0f, 0x31, _] | [0x0f, 0x01, 0xf9])
}

extern "C" fn executed(_: c_uint, address: *mut c_void) {
    record(Kind::Instruction, address as u64);
}

extern "C" fn read_clock(_: c_uint, address: *mut c_void) {
    record(Kind::ClockRead, address as u64);
}

extern "C" fn stored(_: c_uint, info: u32, address: u64, _: *mut c_void) {
    // SAFETY: called for a memory access, with what QEMU says of it; null,
    // which it gives where it knows no address, is 0 to the second call.
    let physical =
        unsafe { qemu::qemu_plugin_hwaddr_phys_addr(qemu::qemu_plugin_get_hwaddr(info, address)) };
    record(Kind::UserStore, physical);
}

extern "C" fn discontinued(_: c_uint, kind: c_int, from: u64, to: u64, _: *mut c_void) {
    match kind {
        qemu::DISCON_INTERRUPT => record(Kind::Interrupt, to),
        _ => record(Kind::Exception, from),
    }
}
