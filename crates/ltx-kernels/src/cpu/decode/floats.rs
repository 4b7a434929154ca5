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

/// Half precision by arithmetic on its bits, which a processor does for many values at once: exponent and mantissa are moved to
/// f32's place, and the exponent has 112 added. No f32 on the way is subnormal: those took a Xeon twenty times as long.
#[inline(always)]
pub(super) fn f16_value(pair: [u8; 2]) -> f32 {
    const BIAS: u32 = 112 << 23;
    /// The least normal half, 2⁻¹⁴.
    const LEAST: u32 = 113 << 23;
    let bits = u32::from(u16::from_le_bytes(pair));
    let (moved, exponent) = ((bits & 0x7fff) << 13, bits & 0x7c00);
    let magnitude = match exponent {
        // Beside an exponent of its own a subnormal's mantissa is that much more than the least normal half.
        0 => (f32::from_bits(moved | LEAST) - f32::from_bits(LEAST)).to_bits(),
        0x7c00 => moved | 0x7f80_0000,
        _ => moved + BIAS,
    };
    f32::from_bits(magnitude | (bits & 0x8000) << 16)
}

/// An e4m3 byte by arithmetic on its bits, without a table, as [`f16_value`].
#[inline(always)]
pub(super) fn e4m3_value(byte: u8) -> f32 {
    const BIAS: u32 = 120 << 23;
    /// The least normal one, 2⁻⁶.
    const LEAST: u32 = 121 << 23;
    let bits = u32::from(byte);
    let moved = (bits & 0x7f) << 20;
    let magnitude = match bits & 0x7f {
        0..8 => (f32::from_bits(moved | LEAST) - f32::from_bits(LEAST)).to_bits(),
        0x7f => e4m3(0x7f).to_bits(),
        _ => moved + BIAS,
    };
    f32::from_bits(magnitude | (bits & 0x80) << 24)
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
