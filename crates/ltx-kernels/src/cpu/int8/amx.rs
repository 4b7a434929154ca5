//! The 8-bit tile on AMX: 12 × 32 sums of a group in two tile registers, and from there to f32 as on every other path.
//!
//! Both sides lie in memory as tile registers want them: a row's values of `k` in a line, and of a weight four values of each output
//! in a line for every four of `k`. So nothing is laid out anew.
//!
//! Must not know anything but the tile.
#![allow(unsafe_code)]

use super::{
    quantize::{FOUR, GROUP},
    tile::Tile8,
};
use crate::cpu::{
    amx::Config,
    gemm::{COLUMNS, ROWS},
};
use std::arch::{
    asm,
    x86_64::{
        _mm512_add_epi32, _mm512_add_ps, _mm512_cvtepi32_ps, _mm512_load_si512, _mm512_loadu_ps, _mm512_loadu_si512,
        _mm512_mul_ps, _mm512_set1_ps, _mm512_storeu_ps,
    },
};

/// Bytes of a line of a tile register.
const LINE: usize = 64;
/// Values of `k` in a tile of a weight: sixteen lines of four.
const DEPTH: usize = 16 * FOUR;

const _: () =
    assert!(GROUP == 2 * DEPTH && COLUMNS * FOUR == 2 * LINE && ROWS <= 16, "a group fills eight tile registers");

/// Tile registers 0 to 3 have [`ROWS`] lines, sums and rows; 4 to 7 have 16, weights.
static CONFIG: Config = {
    const OF_ROWS: u8 = ROWS as u8;
    Config::new([OF_ROWS, OF_ROWS, OF_ROWS, OF_ROWS, 16, 16, 16, 16])
};

/// The exact sums of one group, `[ROWS, COLUMNS]`.
#[repr(C, align(64))]
struct Exact([i32; ROWS * COLUMNS]);

/// Rows past the last are multiplied with whatever lies there, and not added to anything.
///
/// # Safety
/// The processor has AVX-512F and AMX for 8 bits, and the system lets this process use it; the sides and `sums` are as long as
/// `tile::multiply` asserts.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn multiply(tile: &Tile8<'_>, sums: &mut [f32], stride: usize) {
    let mut exact = Exact([0; ROWS * COLUMNS]);
    // SAFETY: tiles may be used, as promised. Nothing between here and their release uses them but `group`: compilers never do.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIG, options(nostack, readonly)) };
    for number in 0..tile.groups() {
        // SAFETY: group `number` of every side lies inside it, as promised, with all its [`ROWS`] rows.
        unsafe {
            let left = tile.left.values.as_ptr().add(number * ROWS * GROUP);
            let right = tile.right.values.as_ptr().add(number * GROUP * COLUMNS);
            group(left, right, &mut exact);
            let offsets = tile.right.offsets.as_ptr().add(number * COLUMNS);
            let offsets = [_mm512_loadu_si512(offsets.cast()), _mm512_loadu_si512(offsets.add(16).cast())];
            let scales = tile.right.scales.as_ptr().add(number * COLUMNS);
            let scales = [_mm512_loadu_ps(scales), _mm512_loadu_ps(scales.add(16))];
            for row in 0..tile.rows {
                let scale = _mm512_set1_ps(*tile.left.scales.as_ptr().add(number * ROWS + row));
                for half in 0..2 {
                    let exact = _mm512_load_si512(exact.0.as_ptr().add(row * COLUMNS + 16 * half).cast());
                    let exact = _mm512_cvtepi32_ps(_mm512_add_epi32(exact, offsets[half]));
                    let out = sums.as_mut_ptr().add(row * stride + 16 * half);
                    let product = _mm512_mul_ps(exact, _mm512_mul_ps(scale, scales[half]));
                    _mm512_storeu_ps(out, _mm512_add_ps(_mm512_loadu_ps(out), product));
                }
            }
        }
    }
    // SAFETY: as above.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// # Safety
/// Tile registers are configured as [`CONFIG`]; `left` holds [`ROWS`] rows of a group, `right` a group of [`COLUMNS`] outputs.
#[inline(always)]
unsafe fn group(left: *const u8, right: *const i8, exact: &mut Exact) {
    // SAFETY: as promised; every register that changes is declared.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tileloadd tmm2, [{left} + {line}*1]",
            "tileloadd tmm4, [{right} + {line}*1]",
            "tileloadd tmm5, [{right} + {line}*1 + 64]",
            "tdpbusd tmm0, tmm2, tmm4",
            "tileloadd tmm3, [{left} + {line}*1 + 64]",
            "tileloadd tmm6, [{right} + {line}*1 + 2048]",
            "tdpbusd tmm1, tmm2, tmm5",
            "tileloadd tmm7, [{right} + {line}*1 + 2112]",
            "tdpbusd tmm0, tmm3, tmm6",
            "tdpbusd tmm1, tmm3, tmm7",
            "tilestored [{exact} + {line}*1], tmm0",
            "tilestored [{exact} + {line}*1 + 64], tmm1",
            left = in(reg) left,
            right = in(reg) right,
            exact = in(reg) exact.0.as_mut_ptr(),
            line = in(reg) 2 * LINE,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
