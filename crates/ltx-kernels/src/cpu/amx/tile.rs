//! 32 rows times 32 columns in four tiles of sums.
//!
//! Must not know where they lie in a larger product.
#![allow(unsafe_code)]

use super::{BLOCK, split, tiles};
#[cfg(target_arch = "x86_64")]
use super::{Config, SIDE};

/// All tile registers have 16 lines.
#[cfg(target_arch = "x86_64")]
static CONFIG: Config = Config::new([SIDE as u8; 8]);

/// Sums `steps` steps of `left` times `right` into 32 × 32 `sums`, rows `stride` apart; on top of what is there if `add`.
///
/// # Panics
/// A matrix reaches past its slice, or this process may not use tiles: mistakes of the caller's, that unsafe code must not see.
pub(super) fn multiply(left: &[u16], right: &[u32], steps: usize, (sums, stride): (&mut [f32], usize), add: bool) {
    assert!(super::granted(), "tile: no permission");
    assert!(left.len() >= steps * split::BLOCK_STEP && right.len() >= steps * tiles::BLOCK_STEP, "tile: too short");
    assert!(sums.len() >= (BLOCK - 1) * stride + BLOCK && stride >= BLOCK, "tile: the sums are too short");
    if steps == 0 {
        if !add {
            sums.chunks_mut(stride).take(BLOCK).for_each(|row| row[..BLOCK].fill(0.0));
        }
        return;
    }
    // SAFETY: the processor has AMX and the system lets this process use it, as asserted; every tile lies inside its slice.
    unsafe { run(left.as_ptr(), right.as_ptr(), steps, (sums.as_mut_ptr(), stride), add) }
}

/// # Safety
/// Tiles may be used; `left` holds `steps` steps of 4 KiB, `right` of 2 KiB, and `sums` 32 rows of 32 values.
#[cfg(target_arch = "x86_64")]
unsafe fn run(left: *const u16, right: *const u32, steps: usize, (sums, stride): (*mut f32, usize), add: bool) {
    // SAFETY: rows 16 on lie inside the sums, as promised.
    let lower = unsafe { sums.add(SIDE * stride) };
    // SAFETY: as promised. Tile registers are configured and released here; every other is declared.
    unsafe {
        std::arch::asm!(
            "ldtilecfg [{config}]",
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
            "tilerelease",
            config = in(reg) &raw const CONFIG,
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
unsafe fn run(_: *const u16, _: *const u32, _: usize, _: (*mut f32, usize), _: bool) {}
