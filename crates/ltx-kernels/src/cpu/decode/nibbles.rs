//! Blocks of numbers of four bits that stand for values of a table: ggml's IQ4 types and its 4-bit floats.
//!
//! Must not know rows.
#![allow(unsafe_code)]

use super::floats::half;
use crate::cpu::Level;

/// What the numbers of IQ4 stand for: values that lie closer together near 0.
const IQ4: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
/// Twice what a 4-bit float of two bits of exponent is.
pub(super) const TWICE_E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// What the lower four bits of 16 bytes stand for, then what the upper four do.
#[inline(always)]
pub(super) fn looked_up(level: Level, bytes: &[u8; 16], table: &[i8; 16]) -> [i8; 32] {
    #[cfg(target_arch = "x86_64")]
    if level != Level::PORTABLE {
        // SAFETY: every other level has SSSE3.
        return unsafe { shuffled(bytes, table) };
    }
    let _ = level;
    let mut values = [0; 32];
    for (i, byte) in bytes.iter().enumerate() {
        values[i] = table[usize::from(byte & 15)];
        values[i + 16] = table[usize::from(byte >> 4)];
    }
    values
}

/// [`looked_up`] by the instruction that looks 16 bytes up at once.
///
/// # Safety
/// The processor has SSSE3.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "ssse3")]
#[inline]
unsafe fn shuffled(bytes: &[u8; 16], table: &[i8; 16]) -> [i8; 32] {
    use core::arch::x86_64::{
        __m128i, _mm_and_si128, _mm_loadu_si128, _mm_set1_epi8, _mm_shuffle_epi8, _mm_srli_epi16, _mm_storeu_si128,
    };
    let mut values = [0i8; 32];
    // SAFETY: both arrays have 16 bytes, and `values` twice as many.
    unsafe {
        let (bytes, table) = (_mm_loadu_si128(bytes.as_ptr().cast()), _mm_loadu_si128(table.as_ptr().cast()));
        let mask = _mm_set1_epi8(15);
        let (low, high) = (_mm_and_si128(bytes, mask), _mm_and_si128(_mm_srli_epi16::<4>(bytes), mask));
        let out = values.as_mut_ptr().cast::<__m128i>();
        _mm_storeu_si128(out, _mm_shuffle_epi8(table, low));
        _mm_storeu_si128(out.add(1), _mm_shuffle_epi8(table, high));
    }
    values
}

/// 32 numbers: the first 16 in the lower bits.
#[inline(always)]
fn scaled(level: Level, scale: f32, bytes: &[u8; 16], table: &[i8; 16], out: &mut [f32]) {
    let values = looked_up(level, bytes, table);
    out.iter_mut().zip(&values).for_each(|(out, value)| *out = scale * f32::from(*value));
}

/// A scale and 32 numbers.
#[inline(always)]
pub(super) fn iq4_nl(level: Level, block: &[u8; 18], out: &mut [f32; 32]) {
    if let Some(bytes) = block.last_chunk() {
        scaled(level, half(block[0], block[1]), bytes, &IQ4, out);
    }
}

/// A scale, and eight groups of 32 numbers with six bits of signed scale: two bits in a pair of bytes, four behind it.
#[inline(always)]
pub(super) fn iq4_xs(level: Level, block: &[u8; 136], out: &mut [f32; 256]) {
    let all = half(block[0], block[1]);
    let upper = u16::from_le_bytes([block[2], block[3]]);
    let groups = block[8..].as_chunks::<16>().0.iter();
    for (group, (bytes, out)) in groups.zip(out.chunks_exact_mut(32)).enumerate() {
        let low = block[4 + group / 2] >> (group % 2 * 4) & 15;
        let high = (upper >> (2 * group) & 3) as u8;
        let scale = all * f32::from((low | high << 4).cast_signed() - 32);
        scaled(level, scale, bytes, &IQ4, out);
    }
}

/// A power of two as a byte of exponent, and 32 4-bit floats.
#[inline(always)]
pub(super) fn mxfp4(level: Level, block: &[u8; 17], out: &mut [f32; 32]) {
    // Half of 2^(byte − 127), as the table holds twice the values.
    let exponent = u32::from(block[0]);
    let scale = f32::from_bits(if exponent < 2 { 0x0020_0000 << exponent } else { (exponent - 1) << 23 });
    if let Some(bytes) = block.last_chunk() {
        scaled(level, scale, bytes, &TWICE_E2M1, out);
    }
}

/// Four e4m3 scales without a sign, and four groups of 16 4-bit floats, the first eight of each in the lower bits.
#[inline(always)]
pub(super) fn nvfp4(level: Level, block: &[u8; 36], out: &mut [f32; 64]) {
    for (pair, out) in out.chunks_exact_mut(32).enumerate() {
        let Some(bytes) = block[4 + 16 * pair..].first_chunk() else { continue };
        let values = looked_up(level, bytes, &TWICE_E2M1);
        for (group, out) in out.chunks_exact_mut(16).enumerate() {
            let scale = unsigned_e4m3(block[2 * pair + group]) * 0.5;
            let (low, high) = out.split_at_mut(8);
            low.iter_mut().zip(&values[8 * group..]).for_each(|(out, value)| *out = scale * f32::from(*value));
            high.iter_mut().zip(&values[16 + 8 * group..]).for_each(|(out, value)| *out = scale * f32::from(*value));
        }
    }
}

/// An e4m3 byte as ggml reads a scale: all ones is 0, the sign is not looked at.
#[inline(always)]
fn unsigned_e4m3(byte: u8) -> f32 {
    match byte {
        0 | 0x7f => 0.0,
        _ if byte & 0x78 == 0 => f32::from(byte & 7) / 512.0,
        _ => f32::from_bits((u32::from(byte >> 3 & 15) + 120) << 23 | u32::from(byte & 7) << 20),
    }
}
