//! The grids of ggml's IQ types: tables of the groups of values that these formats can write. `grids.bin` holds them as the PyPI
//! package `gguf` (MIT) does; `make_grids` wrote it, and says how.
//!
//! Must not know blocks.

const PACKED: &[u8; 9216] = include_bytes!("grids.bin");

/// Values of IQ2's grids.
const IQ2: [i8; 3] = [8, 25, 43];

pub(super) static IQ2_XXS: [[i8; 8]; 256] = expanded(0, 2, &IQ2);
pub(super) static IQ2_XS: [[i8; 8]; 512] = expanded(512, 2, &IQ2);
pub(super) static IQ2_S: [[i8; 8]; 1024] = expanded(1536, 2, &IQ2);
pub(super) static IQ3_XXS: [[i8; 4]; 256] = expanded(3584, 4, &[4, 12, 20, 28, 36, 44, 52, 62]);
pub(super) static IQ3_S: [[i8; 4]; 512] = expanded(4096, 4, &[1, 3, 5, 7, 9, 11, 13, 15]);
pub(super) static IQ1: [[i8; 8]; 2048] = expanded(5120, 2, &[-1, 0, 1]);

/// A grid whose elements are numbers of `bits` bits from byte `start` on, which stand for `values`.
const fn expanded<const LENGTH: usize, const ENTRIES: usize>(
    start: usize,
    bits: usize,
    values: &[i8],
) -> [[i8; LENGTH]; ENTRIES] {
    let mut grid = [[0; LENGTH]; ENTRIES];
    let mut element = 0;
    while element < LENGTH * ENTRIES {
        let bit = element * bits;
        let number = (PACKED[start + bit / 8] >> (bit % 8)) as usize & ((1 << bits) - 1);
        grid[element / LENGTH][element % LENGTH] = values[number];
        element += 1;
    }
    grid
}
