//! The tile for every processor, for the compiler to vectorise.
//!
//! Must not know anything but the tile.

use super::tile::{LANES, PAIR, QUERIES, Tile};

/// Multiplies a tile whose sizes `tile::multiply` has checked.
pub(super) fn multiply(tile: &Tile<'_>, out: &mut [f32; QUERIES * PAIR * LANES]) {
    for (query, out) in out.chunks_mut(PAIR * LANES).enumerate().take(tile.queries) {
        for (vector, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            *out = sums(tile, query, vector);
        }
    }
}

fn sums(tile: &Tile<'_>, query: usize, vector: usize) -> [f32; LANES] {
    let mut sums = [0f32; LANES];
    for (run, start) in tile.starts[vector].iter().enumerate() {
        let left = tile.left[run * tile.left_row..].chunks(tile.queries).take(tile.depth);
        for (k, left) in left.enumerate() {
            let right = &tile.right[start + tile.offsets[vector] + k * tile.stride..][..LANES];
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum += left[query] * right;
            }
        }
    }
    sums
}
