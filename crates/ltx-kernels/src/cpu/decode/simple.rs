//! ggml's blocks of 32 values with a scale, and with a minimum.
//!
//! Must not know rows.

use super::floats::half;

/// A scale and 32 signed bytes.
#[inline(always)]
pub(super) fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let scale = half(block[0], block[1]);
    out.iter_mut().zip(&block[2..]).for_each(|(out, byte)| *out = f32::from(byte.cast_signed()) * scale);
}

/// A scale and 32 nibbles less 8: the first 16 values in the low ones.
#[inline(always)]
pub(super) fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half(block[0], block[1]);
    let (low, high) = out.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(&block[2..]) {
        *low = f32::from((byte & 15).cast_signed() - 8) * scale;
        *high = f32::from((byte >> 4).cast_signed() - 8) * scale;
    }
}

/// As [`q4_0`], with a fifth bit for each value in four bytes; less 16.
#[inline(always)]
pub(super) fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let scale = half(block[0], block[1]);
    let fifth = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    let (low, high) = out.split_at_mut(16);
    for (i, ((low, high), byte)) in low.iter_mut().zip(high).zip(&block[6..]).enumerate() {
        let (first, second) = (fifth >> i & 1, fifth >> (i + 16) & 1);
        *low = ((u32::from(byte & 15) | first << 4).cast_signed() - 16) as f32 * scale;
        *high = ((u32::from(byte >> 4) | second << 4).cast_signed() - 16) as f32 * scale;
    }
}

/// A scale, a minimum and 32 nibbles.
#[inline(always)]
pub(super) fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (scale, minimum) = (half(block[0], block[1]), half(block[2], block[3]));
    let (low, high) = out.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(&block[4..]) {
        *low = f32::from(byte & 15) * scale + minimum;
        *high = f32::from(byte >> 4) * scale + minimum;
    }
}

/// As [`q4_1`], with a fifth bit for each value in four bytes.
#[inline(always)]
pub(super) fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (scale, minimum) = (half(block[0], block[1]), half(block[2], block[3]));
    let fifth = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    let (low, high) = out.split_at_mut(16);
    for (i, ((low, high), byte)) in low.iter_mut().zip(high).zip(&block[8..]).enumerate() {
        let (first, second) = (fifth >> i & 1, fifth >> (i + 16) & 1);
        *low = (u32::from(byte & 15) | first << 4) as f32 * scale + minimum;
        *high = (u32::from(byte >> 4) | second << 4) as f32 * scale + minimum;
    }
}
