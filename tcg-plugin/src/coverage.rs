// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which instructions of kernel modules are executed, and which ways their conditional jumps
//! go ([`irqbed_abi::coverage`]).

use std::{
    collections::HashSet,
    ffi::{c_uint, c_void},
    hash::{BuildHasherDefault, DefaultHasher},
    io, ptr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicPtr, Ordering},
    },
};

use irqbed_abi::coverage::{EXECUTED, FELL_THROUGH, JUMPED, MAP_SIZE, offset};

use crate::{jump::Jump, memory::Memory, qemu};

/// Virtual processors whose jumps are followed.
const PROCESSORS: usize = 256;

/// The conditional jump that a processor has executed last, until it is known which way it
/// went.
static JUMPS: [AtomicPtr<Jump>; PROCESSORS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; PROCESSORS];
/// The jumps that were ever translated, which are never freed: code that is translated may
/// be executed at any time.
static KNOWN: Mutex<HashSet<&Jump, BuildHasherDefault<DefaultHasher>>> =
    Mutex::new(HashSet::with_hasher(BuildHasherDefault::new()));

/// The map, for as long as QEMU runs.
pub struct Map(Memory);

impl Map {
    pub fn open(path: &str) -> io::Result<Self> {
        Memory::map(path, MAP_SIZE).map(Self)
    }

    fn set(&self, address: u64, bit: u8) {
        if let Some(byte) = offset(address).map(|offset| self.0.byte(offset))
            && byte.load(Ordering::Relaxed) & bit == 0
        {
            byte.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Has an instruction that was translated report itself, if it is of a module.
    ///
    /// # Safety
    /// The instruction is valid, as in a callback of its translation.
    pub unsafe fn watch(&self, instruction: *mut qemu::Instruction, address: u64) {
        if offset(address).is_none() {
            return;
        }
        // SAFETY: by our caller, and the callbacks are of the type that is asked for.
        unsafe {
            qemu::qemu_plugin_register_vcpu_insn_exec_cb(
                instruction,
                executed,
                qemu::CB_NO_REGS,
                address as *mut c_void,
            );
            let mut code = [0_u8; 15];
            let length =
                qemu::qemu_plugin_insn_data(instruction, code.as_mut_ptr().cast(), code.len());
            if let Some(jump) = Jump::of(address, code.get(..length).unwrap_or_default()) {
                qemu::qemu_plugin_register_vcpu_insn_exec_cb(
                    instruction,
                    jumps,
                    qemu::CB_NO_REGS,
                    ptr::from_ref(known(jump)).cast_mut().cast(),
                );
            }
        }
    }
}

/// The same jump for good.
fn known(jump: Jump) -> &'static Jump {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(jump) = known.get(&jump) {
        return jump;
    }
    let jump: &'static Jump = Box::leak(Box::new(jump));
    known.insert(jump);
    jump
}

fn jump_of(processor: c_uint) -> Option<&'static AtomicPtr<Jump>> {
    JUMPS.get(processor as usize)
}

extern "C" fn executed(processor: c_uint, address: *mut c_void) {
    let Some(map) = crate::map() else { return };
    let address = address as u64;
    map.set(address, EXECUTED);
    let Some(last) = jump_of(processor) else {
        return;
    };
    // SAFETY: null, or one that is never freed.
    let Some(jump) = (unsafe { last.load(Ordering::Relaxed).as_ref() }) else {
        return;
    };
    // An interrupt's handler may come between.
    let way = match address {
        _ if address == jump.next => FELL_THROUGH,
        _ if address == jump.target => JUMPED,
        _ => return,
    };
    last.store(ptr::null_mut(), Ordering::Relaxed);
    map.set(jump.address, way);
}

extern "C" fn jumps(processor: c_uint, jump: *mut c_void) {
    if let Some(last) = jump_of(processor) {
        last.store(jump.cast(), Ordering::Relaxed);
    }
}
