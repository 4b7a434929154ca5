//! Whether this process may use AMX: the processor has it, and the system was asked, once, for its registers.
//!
//! Must not know what they are used for.
#![allow(unsafe_code)]

use std::sync::OnceLock;

/// Whether tiles of bf16 may be used.
pub(crate) fn granted() -> bool {
    static GRANTED: OnceLock<bool> = OnceLock::new();
    *GRANTED.get_or_init(ask)
}

/// Whether tiles of 8-bit integers may be used as well.
#[cfg(target_arch = "x86_64")]
pub(crate) fn granted_in_8_bits() -> bool {
    const INT8: u32 = 1 << 25;
    static GRANTED: OnceLock<bool> = OnceLock::new();
    *GRANTED.get_or_init(|| granted() && has(INT8))
}

/// Whether the processor names these features, bits of the leaf that AMX is in.
#[cfg(target_arch = "x86_64")]
fn has(features: u32) -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & features == features
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn ask() -> bool {
    const BF16: u32 = 1 << 22;
    const TILES: u32 = 1 << 24;
    const REQUEST_PERMISSION: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    // SAFETY: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) takes numbers alone, and changes what the process may do, not what
    // it does. A system that does not know it says so.
    has(BF16 | TILES) && unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) } == 0
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn ask() -> bool {
    false
}
