//! 32 rows times 32 columns in four tiles of sums.
//!
//! Must not know where they lie in a larger product.
#![allow(unsafe_code)]

use super::{BLOCK, split, tiles};
#[cfg(target_arch = "x86_64")]
use super::{Config, SIDE};
use std::marker::PhantomData;

/// All tile registers have 16 lines.
#[cfg(target_arch = "x86_64")]
static CONFIG: Config = Config::new([SIDE as u8; 8]);

/// This thread's tile registers, configured for as long as this is there: configuring takes as long as some products. A thread has one
/// at a time; where it ends, so does the configuration.
pub(super) struct Tiles(PhantomData<*const ()>);

impl Tiles {
    /// # Panics
    /// This process may not use tiles: a mistake of the caller's, that unsafe code must not see.
    pub(super) fn configure() -> Self {
        assert!(super::granted(), "tile: no permission");
        // SAFETY: the processor has AMX and the system lets this process use it, as asserted.
        unsafe { configure() };
        Self(PhantomData)
    }

    /// Sums `steps` steps, one at least, of `left` times `right` into 32 × 32 `sums`, rows `stride` apart; on top of what is there if `add`.
    ///
    /// # Panics
    /// There is no step, or a matrix reaches past its slice: mistakes of the caller's, that unsafe code must not see.
    pub(super) fn multiply(
        &self,
        left: &[u16],
        right: &[u32],
        steps: usize,
        (sums, stride): (&mut [f32], usize),
        add: bool,
    ) {
        assert!(steps > 0, "tile: no step");
        assert!(left.len() >= steps * split::BLOCK_STEP && right.len() >= steps * tiles::BLOCK_STEP, "tile: too short");
        assert!(sums.len() >= (BLOCK - 1) * stride + BLOCK && stride >= BLOCK, "tile: the sums are too short");
        // SAFETY: this thread's tiles are configured, as `self` shows; every tile lies inside its slice, as asserted.
        unsafe { run(left.as_ptr(), right.as_ptr(), steps, (sums.as_mut_ptr(), stride), add) }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the processor has AMX, or `self` would not be there.
        unsafe { release() };
    }
}

/// # Safety
/// This process may use tiles.
#[cfg(target_arch = "x86_64")]
unsafe fn configure() {
    // SAFETY: as promised; the configuration is one of the palette's.
    unsafe { std::arch::asm!("ldtilecfg [{config}]", config = in(reg) &raw const CONFIG, options(nostack, readonly)) };
}

/// # Safety
/// This process may use tiles, and this thread needs none of them any more.
#[cfg(target_arch = "x86_64")]
unsafe fn release() {
    // SAFETY: as promised.
    unsafe { std::arch::asm!("tilerelease", options(nostack, nomem)) };
}

/// # Safety
/// Tiles are configured; `left` holds `steps` steps, one at least, of 4 KiB, `right` of 2 KiB, and `sums` 32 rows of 32 values.
#[cfg(target_arch = "x86_64")]
unsafe fn run(left: *const u16, right: *const u32, steps: usize, (sums, stride): (*mut f32, usize), add: bool) {
    // SAFETY: rows 16 on lie inside the sums, as promised.
    let lower = unsafe { sums.add(SIDE * stride) };
    // SAFETY: as promised. Every register is declared; those of tiles hold nothing from one call to the next.
    unsafe {
        std::arch::asm!(
            "test {add:e}, {add:e}",
            "jz 2f",
            "tileloadd tmm0, [{upper} + {apart}*1]",
            "tileloadd tmm1, [{upper} + {apart}*1 + 64]",
            "tileloadd tmm2, [{lower} + {apart}*1]",
            "tileloadd tmm3, [{lower} + {apart}*1 + 64]",
            "jmp 3f",
            "2:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "3:",
            "tileloadd tmm4, [{right} + {line}*1]",
            "tileloadd tmm6, [{left} + {line}*1]",
            "tileloadd tmm5, [{right} + {line}*1 + 1024]",
            "tdpbf16ps tmm0, tmm6, tmm4",
            "tileloadd tmm7, [{left} + {line}*1 + 1024]",
            "tdpbf16ps tmm1, tmm6, tmm5",
            "tileloadd tmm6, [{left} + {line}*1 + 2048]",
            "tdpbf16ps tmm2, tmm7, tmm4",
            "tdpbf16ps tmm3, tmm7, tmm5",
            "tileloadd tmm7, [{left} + {line}*1 + 3072]",
            "tdpbf16ps tmm0, tmm6, tmm4",
            "tdpbf16ps tmm1, tmm6, tmm5",
            "add {left}, 4096",
            "tdpbf16ps tmm2, tmm7, tmm4",
            "add {right}, 2048",
            "tdpbf16ps tmm3, tmm7, tmm5",
            "dec {steps}",
            "jnz 3b",
            "tilestored [{upper} + {apart}*1], tmm0",
            "tilestored [{upper} + {apart}*1 + 64], tmm1",
            "tilestored [{lower} + {apart}*1], tmm2",
            "tilestored [{lower} + {apart}*1 + 64], tmm3",
            add = in(reg) u32::from(add),
            upper = in(reg) sums,
            lower = in(reg) lower,
            apart = in(reg) stride * size_of::<f32>(),
            line = in(reg) 64usize,
            left = inout(reg) left => _,
            right = inout(reg) right => _,
            steps = inout(reg) steps => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// # Safety
/// Never called: no such processor has tiles.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn configure() {}

/// # Safety
/// Never called.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn release() {}

/// # Safety
/// Never called.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn run(_: *const u16, _: *const u32, _: usize, _: (*mut f32, usize), _: bool) {}
