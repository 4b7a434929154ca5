//! The grids of ggml's IQ types: tables of the groups of values that these formats can write. `grids.bin` holds them as the PyPI
//! package `gguf` (MIT) does; `make_grids` wrote it, and says how.
//!
//! Must not know blocks.

const PACKED: &[u8; 9216] = include_bytes!("grids.bin");

/// Values of IQ2's grids.
const IQ2: [f32; 3] = [8.0, 25.0, 43.0];

pub(super) static IQ2_XXS: [[f32; 8]; 256] = expanded(0, 2, &IQ2);
pub(super) static IQ2_XS: [[f32; 8]; 512] = expanded(512, 2, &IQ2);
pub(super) static IQ2_S: [[f32; 8]; 1024] = expanded(1536, 2, &IQ2);
pub(super) static IQ3_XXS: [[f32; 4]; 256] = expanded(3584, 4, &[4.0, 12.0, 20.0, 28.0, 36.0, 44.0, 52.0, 62.0]);
pub(super) static IQ3_S: [[f32; 4]; 512] = expanded(4096, 4, &[1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0]);
pub(super) static IQ1: [[f32; 8]; 2048] = expanded(5120, 2, &[-1.0, 0.0, 1.0]);

/// The sign bits of eight values, four and four, by the byte that has a bit for each.
pub(super) static SIGNS: [[[u32; 4]; 2]; 256] = signs();

/// A grid whose elements are numbers of `bits` bits from byte `start` on, which stand for `values`.
const fn expanded<const LENGTH: usize, const ENTRIES: usize>(
    start: usize,
    bits: usize,
    values: &[f32],
) -> [[f32; LENGTH]; ENTRIES] {
    let mut grid = [[0.0; LENGTH]; ENTRIES];
    let mut element = 0;
    while element < LENGTH * ENTRIES {
        let bit = element * bits;
        let number = (PACKED[start + bit / 8] >> (bit % 8)) as usize & ((1 << bits) - 1);
        grid[element / LENGTH][element % LENGTH] = values[number];
        element += 1;
    }
    grid
}

const fn signs() -> [[[u32; 4]; 2]; 256] {
    let mut signs = [[[0; 4]; 2]; 256];
    let mut bit = 0;
    while bit < 256 * 8 {
        signs[bit / 8][bit % 8 / 4][bit % 4] = ((bit / 8) as u32 >> (bit % 8) & 1) << 31;
        bit += 1;
    }
    signs
}
