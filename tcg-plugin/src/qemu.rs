// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the plugin uses of QEMU's plugin interface, version 7
//! (`include/plugins/qemu-plugin.h` of QEMU 11.1). The symbols are QEMU's own
//! and found when it loads the plugin.

use std::ffi::{c_int, c_uint, c_void};

/// The plugin, to QEMU.
pub type Id = u64;
/// A block of translated instructions.
pub enum Block {}
/// One of them.
pub enum Instruction {}
/// A physical address, to QEMU.
pub enum PhysicalAddress {}

/// The callback leaves the guest's registers alone.
pub const CB_NO_REGS: c_int = 0;
/// Writes only.
pub const MEM_W: c_int = 2;
/// The guest takes an interrupt.
pub const DISCON_INTERRUPT: c_int = 1;
/// An instruction faults.
pub const DISCON_EXCEPTION: c_int = 2;

unsafe extern "C" {
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(
        id: Id,
        callback: extern "C" fn(*mut Block, *mut c_void),
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_discon_cb(
        id: Id,
        kinds: c_int,
        callback: extern "C" fn(c_uint, c_int, u64, u64, *mut c_void),
        data: *mut c_void,
    );
    pub fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    pub fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    pub fn qemu_plugin_insn_vaddr(instruction: *const Instruction) -> u64;
    pub fn qemu_plugin_insn_data(
        instruction: *const Instruction,
        to: *mut c_void,
        len: usize,
    ) -> usize;
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_mem_cb(
        instruction: *mut Instruction,
        callback: extern "C" fn(c_uint, u32, u64, *mut c_void),
        flags: c_int,
        accesses: c_int,
        data: *mut c_void,
    );
    pub fn qemu_plugin_get_hwaddr(info: u32, address: u64) -> *mut PhysicalAddress;
    pub fn qemu_plugin_hwaddr_phys_addr(address: *const PhysicalAddress) -> u64;
}
