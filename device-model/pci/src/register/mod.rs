// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Registers by name. A device declares each of its registers once, with
//! [`registers!`](crate::registers); accesses of any width and alignment are
//! taken apart into registers here, so that what handles them knows no offset,
//! and the table for the documentation is made from the same declaration.

mod map;
mod values;

pub use map::{Access, Entry, RegisterMap, RegisterSet, Write};
pub use values::Registers;

/// Declares the registers of a BAR as an enum.
///
/// Each register has a name, an offset, a type (`u8` to `u64`), an
/// [`Access`](crate::register::Access), and where wanted the bits that software may
/// change (`& 0x0f`) and the value after a reset (`= 0x80`). A register that
/// is there many times gets their number and distance in brackets, and its
/// variant the index. Anything but a literal stands in parentheses. Registers
/// that overlap, are misaligned, or are reset to what they cannot hold do not
/// compile.
///
/// # Example
/// ```
/// use irqbed_pci::{registers, Registers};
///
/// registers! {
///     /// BAR 0 of a mixer.
///     pub enum Mixer {
///         /// Says that this is a mixer.
///         Id @ 0x00: u32, ReadOnly = 0x1bed_0042;
///         /// Bit 0 mutes everything.
///         Control @ 0x04: u32, ReadWrite & 0x1;
///         /// Channels that were too loud; written ones are cleared.
///         Clipped @ 0x08: u16, WriteOneToClear;
///         /// Volume of a channel.
///         Volume[16 step 4] @ 0x40: u32, ReadWrite & 0xff = 0x80;
///     }
/// }
///
/// let mut registers = Registers::<Mixer>::new();
/// // What the guest does at an offset happens to a name:
/// Mixer::write(0x44, &[0x12, 0, 0, 0], |write| {
///     assert_eq!(write.register, Mixer::Volume(1));
///     registers.write(write);
/// });
/// // 8 bytes are two registers, and half a register is half of it.
/// let mut data = [0; 8];
/// Mixer::read(0x40, &mut data, |register| registers.read(register));
/// assert_eq!(data, [0x80, 0, 0, 0, 0x12, 0, 0, 0]);
/// // And the table for the documentation:
/// let table = Mixer::MAP.to_markdown();
/// assert!(table.contains("| `0x40 + 0x4 n` | `Volume[n]`, n = 0 to 15 | 32 | read-write, bits `0xff` | `0x80` |"));
/// ```
///
/// ```compile_fail
/// irqbed_pci::registers! {
///     pub enum Overlapping {
///         Wide @ 0x00: u64, ReadOnly;
///         Inside @ 0x04: u32, ReadOnly;
///     }
/// }
/// ```
#[macro_export]
macro_rules! registers {
    (
        $(#[doc = $set_doc:literal])*
        $vis:vis enum $set:ident {
            $(
                $(#[doc = $doc:literal])*
                $name:ident $([$count:tt step $step:tt])? @ $offset:tt: $type:ident,
                $access:ident $(& $writable:tt)? $(= $reset:tt)?;
            )+
        }
    ) => {
        $(#[doc = $set_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $set {
            $(
                $(#[doc = $doc])*
                #[doc = concat!(
                    "\n\nOffset `", stringify!($offset),
                    $("` + n * `", stringify!($step), "`, n below `", stringify!($count),)?
                    "`, `", stringify!($type), "`, `", stringify!($access), "`."
                )]
                $name $(($crate::registers!(@index $count)))?,
            )+
        }

        impl $crate::register::RegisterSet for $set {
            const MAP: $crate::register::RegisterMap<Self> = $crate::register::RegisterMap::new(
                stringify!($set),
                concat!($($set_doc, "\n"),*),
                &[$(
                    $crate::register::Entry {
                        name: stringify!($name),
                        doc: concat!($($doc, "\n"),*),
                        offset: $offset,
                        width: size_of::<$type>() as u32,
                        access: $crate::register::Access::$access,
                        writable: $crate::registers!(@or $crate::register::Access::$access.all() $(, $writable)?),
                        reset: $crate::registers!(@or 0 $(, $reset)?),
                        count: $crate::registers!(@or 1 $(, $count)?),
                        step: $crate::registers!(@or 0 $(, $step)?),
                        register: $crate::registers!(@make $set $name $($count)?),
                    }
                ),+],
            );

            fn place(self) -> (usize, u32) {
                enum Place { $($name),+ }
                match self {
                    $(
                        $crate::registers!(@pattern $set $name index $($count)?) => (
                            Place::$name as usize,
                            $crate::registers!(@value index $($count)?),
                        ),
                    )+
                }
            }
        }

        const _: () = <$set as $crate::register::RegisterSet>::MAP.check();

        #[allow(dead_code)]
        impl $set {
            /// What there is to know about these registers.
            $vis const MAP: $crate::register::RegisterMap<Self> = <Self as $crate::register::RegisterSet>::MAP;

            /// Reads any range of bytes: asks for each register it touches,
            /// once. Where there is none, all ones are read.
            $vis fn read(offset: u64, data: &mut [u8], value: impl FnMut(Self) -> u64) {
                Self::MAP.read(offset, data, value);
            }

            /// Writes any range of bytes: hands out each register it touches.
            /// Where there is none, the bytes are lost.
            $vis fn write(offset: u64, data: &[u8], change: impl FnMut($crate::register::Write<Self>)) {
                Self::MAP.write(offset, data, change);
            }
        }
    };
    (@index $count:tt) => { u32 };
    (@or $default:expr) => { $default };
    (@or $default:expr, $value:tt) => { $value };
    (@make $set:ident $name:ident) => { |_| $set::$name };
    (@make $set:ident $name:ident $count:tt) => { $set::$name };
    (@pattern $set:ident $name:ident $index:ident) => { $set::$name };
    (@pattern $set:ident $name:ident $index:ident $count:tt) => { $set::$name($index) };
    (@value $index:ident) => { 0 };
    (@value $index:ident $count:tt) => { $index };
}

#[cfg(test)]
mod tests;
