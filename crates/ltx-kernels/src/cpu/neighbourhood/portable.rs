//! The tile for every processor, for the compiler to vectorise.
//!
//! Must not know anything but the tile.

use super::tile::{LANES, Out, Tile};

/// Multiplies a tile whose sizes `tile::multiply` has checked.
pub(super) fn multiply(tile: &Tile<'_>, out: &mut Out<'_>) {
    for (query, out) in out.data.chunks_mut(out.row_stride).enumerate().take(tile.queries) {
        for (vector, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate().take(tile.starts.len()) {
            *out = sums(tile, query, vector);
        }
    }
}

fn sums(tile: &Tile<'_>, query: usize, vector: usize) -> [f32; LANES] {
    let (mut sums, [run_stride, element, row]) = ([0f32; LANES], tile.strides);
    for (run, start) in tile.starts[vector].iter().enumerate() {
        for k in 0..tile.depth {
            let left = tile.left[run * run_stride + k * element + query * row];
            let right = &tile.right[start + tile.offsets[vector] + k * tile.stride..][..LANES];
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum += left * right;
            }
        }
    }
    sums
}
