//! ggml's IQ blocks: 256 values of which each four or eight are an entry of a grid, with signs beside it or a shift of its own.
//!
//! Must not know rows, or what is in the grids.

use super::{floats::half, grids};

/// The signs of eight values of which seven bits say the first seven: the number of ones is even.
#[inline(always)]
fn even(seven: u32) -> u8 {
    (seven | (seven.count_ones() & 1) << 7) as u8
}

/// Four values of an entry of a grid, scaled, with their signs.
#[inline(always)]
fn four(scale: f32, grid: &[f32; 4], signs: &[u32; 4], out: &mut [f32; 4]) {
    for (out, (value, sign)) in out.iter_mut().zip(grid.iter().zip(signs)) {
        *out = f32::from_bits((scale * value).to_bits() ^ sign);
    }
}

/// Eight of them, with a bit of `signs` for each value, set where it is negative.
#[inline(always)]
fn eight(scale: f32, grid: &[f32; 8], signs: u8, out: &mut [f32; 8]) {
    let signs = &grids::SIGNS[usize::from(signs)];
    for (out, (value, sign)) in out.iter_mut().zip(grid.iter().zip(signs.as_flattened())) {
        *out = f32::from_bits((scale * value).to_bits() ^ sign);
    }
}

#[inline(always)]
fn word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |four| u32::from_le_bytes(*four))
}

#[inline(always)]
fn pair(bytes: &[u8]) -> u16 {
    bytes.first_chunk().map_or(0, |two| u16::from_le_bytes(*two))
}

/// Eight groups of 32: four entries of a byte, then four signs of seven bits and a scale of four.
#[inline(always)]
pub(super) fn iq2_xxs(block: &[u8; 66], out: &mut [f32; 256]) {
    let all = half(block[0], block[1]);
    for (out, bytes) in out.chunks_exact_mut(32).zip(block[2..].chunks_exact(8)) {
        let beside = word(&bytes[4..]);
        let scale = all * (0.5 + (beside >> 28) as f32) * 0.25;
        for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
            eight(scale, &grids::IQ2_XXS[usize::from(bytes[i])], even(beside >> (7 * i) & 127), out);
        }
    }
}

/// Pairs of bytes of nine bits of entry and seven of signs; groups of 16 share a scale of four bits.
#[inline(always)]
pub(super) fn iq2_xs(block: &[u8; 74], out: &mut [f32; 256]) {
    let all = half(block[0], block[1]);
    for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
        let entry = pair(&block[2 + 2 * i..]);
        let scale = all * (0.5 + f32::from(block[66 + i / 4] >> (i % 4 / 2 * 4) & 15)) * 0.25;
        eight(scale, &grids::IQ2_XS[usize::from(entry & 511)], even(u32::from(entry >> 9)), out);
    }
}

/// Entries of a byte and two more bits, a byte of signs each; groups of 16 share a scale of four bits.
#[inline(always)]
pub(super) fn iq2_s(block: &[u8; 82], out: &mut [f32; 256]) {
    let all = half(block[0], block[1]);
    for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
        let upper = usize::from(block[66 + i / 4] >> (i % 4 * 2) & 3);
        let entry = usize::from(block[2 + i]) | upper << 8;
        let scale = all * (0.5 + f32::from(block[74 + i / 4] >> (i % 4 / 2 * 4) & 15)) * 0.25;
        eight(scale, &grids::IQ2_S[entry], block[34 + i], out);
    }
}

/// Entries of four values in a byte; groups of 32 share four signs of seven bits and a scale of four.
#[inline(always)]
pub(super) fn iq3_xxs(block: &[u8; 98], out: &mut [f32; 256]) {
    let all = half(block[0], block[1]);
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let beside = word(&block[66 + 4 * group..]);
        let scale = all * (0.5 + (beside >> 28) as f32) * 0.5;
        for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
            let signs = &grids::SIGNS[usize::from(even(beside >> (7 * (i / 2)) & 127))][i % 2];
            four(scale, &grids::IQ3_XXS[usize::from(block[2 + 8 * group + i])], signs, out);
        }
    }
}

/// Entries of four values in a byte and one more bit, four signs each; groups of 32 share a scale of four bits.
#[inline(always)]
pub(super) fn iq3_s(block: &[u8; 110], out: &mut [f32; 256]) {
    let all = half(block[0], block[1]);
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let scale = all * f32::from(1 + 2 * (block[106 + group / 2] >> (group % 2 * 4) & 15));
        for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
            let entry = usize::from(block[2 + 8 * group + i]) | usize::from(block[66 + group] >> i & 1) << 8;
            let signs = &grids::SIGNS[usize::from(block[74 + 4 * group + i / 2])][i % 2];
            four(scale, &grids::IQ3_S[entry], signs, out);
        }
    }
}

/// An entry of values −1, 0 and 1, all of them shifted by an eighth, and scaled.
#[inline(always)]
fn shifted(scale: f32, grid: &[f32; 8], down: bool, out: &mut [f32; 8]) {
    let shift = if down { -0.125 } else { 0.125 };
    out.iter_mut().zip(grid).for_each(|(out, value)| *out = scale * (value + shift));
}

/// Groups of 32: four entries of a byte and three more bits, a scale of three bits, the direction of the shift.
#[inline(always)]
pub(super) fn iq1_s(block: &[u8; 50], out: &mut [f32; 256]) {
    let all = half(block[0], block[1]);
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let beside = pair(&block[34 + 2 * group..]);
        let scale = all * f32::from(2 * (beside >> 12 & 7) + 1);
        for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
            let entry = usize::from(block[2 + 4 * group + i]) | usize::from(beside >> (3 * i) & 7) << 8;
            shifted(scale, &grids::IQ1[entry], beside & 0x8000 != 0, out);
        }
    }
}

/// Entries as in [`iq1_s`], each with a direction of its own, groups of 16 with a scale of three bits. The scale of all is in the
/// upper four bits of the four pairs of bytes of scales.
#[inline(always)]
pub(super) fn iq1_m(block: &[u8; 56], out: &mut [f32; 256]) {
    let scales = &block[48..];
    let all = u16::from(scales[1] >> 4)
        | u16::from(scales[3] & 0xf0)
        | u16::from(scales[5] & 0xf0) << 4
        | u16::from(scales[7] & 0xf0) << 8;
    let all = half(all as u8, (all >> 8) as u8);
    for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
        let (group, beside) = (i / 2, block[32 + i / 2] >> (i % 2 * 4));
        let scale = all * f32::from(2 * (pair(&scales[group / 4 * 2..]) >> (group % 4 * 3) & 7) + 1);
        let entry = usize::from(block[i]) | usize::from(beside & 7) << 8;
        shifted(scale, &grids::IQ1[entry], beside & 8 != 0, out);
    }
}
