//! 16-bit and 8-bit floats to f32, by arithmetic on their bits.
//!
//! Must not know blocks.

use crate::e4m3;
use half::f16;

/// Runs a decoder on every value of two bytes.
#[inline(always)]
pub(super) fn pairs(bytes: &[u8], out: &mut [f32], value: impl Fn([u8; 2]) -> f32) {
    out.iter_mut().zip(bytes.as_chunks::<2>().0).for_each(|(out, pair)| *out = value(*pair));
}

/// Half precision by arithmetic on its bits, which a processor does for many values at once: exponent and mantissa moved to f32's
/// place are the value times 2⁻¹¹², subnormals included.
#[inline(always)]
pub(super) fn f16_value(pair: [u8; 2]) -> f32 {
    const REBIAS: f32 = f32::from_bits((127 + 112) << 23);
    let bits = u32::from(u16::from_le_bytes(pair));
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * REBIAS;
    let infinite = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(magnitude.to_bits() | infinite | (bits & 0x8000) << 16)
}

/// An e4m3 byte by arithmetic on its bits, without a table: exponent and mantissa moved to f32's place are the value times 2⁻¹²⁰,
/// subnormals included.
#[inline(always)]
pub(super) fn e4m3_value(byte: u8) -> f32 {
    const REBIAS: f32 = f32::from_bits((127 + 120) << 23);
    let bits = u32::from(byte);
    let magnitude = f32::from_bits((bits & 0x7f) << 20) * REBIAS;
    let value = f32::from_bits(magnitude.to_bits() | (bits & 0x80) << 24);
    if bits & 0x7f == 0x7f { e4m3(0x7f) } else { value }
}

/// e4m3 bytes times a scale.
#[inline(always)]
pub(super) fn fp8(bytes: &[u8], scale: f32, out: &mut [f32]) {
    out.iter_mut().zip(bytes).for_each(|(out, byte)| *out = e4m3_value(*byte) * scale);
}

#[inline(always)]
pub(super) fn half(low: u8, high: u8) -> f32 {
    f16::from_le_bytes([low, high]).to_f32()
}
