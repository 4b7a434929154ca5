//! Groups of 4-bit or 8-bit values, each with a scale behind it.
//!
//! Must not know rows.

use super::{
    floats::{e4m3_value, f16_value},
    nibbles::looked_up,
    rotation::unrotate,
};
use crate::{Element, GroupScale, Groups, cpu::Level};

/// The uppermost byte of a 4-bit float as an f32, and the one below it; the other two are 0.
const E2M1_UPPER: [i8; 16] = [0, 63, 63, 63, 64, 64, 64, 64, -128, -65, -65, -65, -64, -64, -64, -64];
const E2M1_LOWER: [i8; 16] = [0, 0, -128, -64, 0, 64, -128, -64, 0, 0, -128, -64, 0, 64, -128, -64];

/// Whole groups: every value times the group's scale times the factor of all, rotated back where they were rotated.
#[inline(always)]
pub(super) fn groups(level: Level, kind: Groups, bytes: &[u8], out: &mut [f32]) {
    if let (Element::E2m1, 16, GroupScale::E4m3) = (kind.element, kind.size, kind.scale) {
        return nvfp4(level, kind.factor, bytes, out);
    }
    if kind.scale == GroupScale::Whole && kind.rotation == 1 && kind.element != Element::E2m1 {
        return values(kind.element, bytes, kind.factor, out);
    }
    let stride = kind.bytes();
    for (group, out) in bytes.chunks_exact(stride).zip(out.chunks_exact_mut(usize::from(kind.size))) {
        let (bytes, scale) = group.split_at(stride - kind.scale_bytes());
        let scale = scale_of(kind.scale, scale) * kind.factor;
        match kind.element {
            Element::E2m1 => pairs(bytes, scale, out),
            element if kind.rotation == 1 => values(element, bytes, scale, out),
            element => {
                values(element, bytes, 1.0, out);
                for values in out.chunks_exact_mut(usize::from(kind.rotation)) {
                    unrotate(values);
                }
                // A rotated sum is as many times too large as the root of its terms' number, a power of two.
                let scale = Scale { first: scale, then: 1.0 / f32::from(kind.rotation).sqrt() };
                out.iter_mut().for_each(|value| *value = *value * scale.first * scale.then);
            }
        }
    }
}

/// Groups of 16 4-bit floats with an e4m3 scale, two at a time.
#[inline(always)]
fn nvfp4(level: Level, factor: f32, bytes: &[u8], out: &mut [f32]) {
    let (twos, last) = bytes.as_chunks::<18>();
    let (out, last_out) = out.as_chunks_mut::<32>();
    for (out, two) in out.iter_mut().zip(twos) {
        let mut numbers = [0u8; 16];
        numbers[..8].copy_from_slice(&two[..8]);
        numbers[8..].copy_from_slice(&two[9..17]);
        // The two upper bytes of an f32, so that a negative 0 stays one.
        let (upper, lower) = (looked_up(level, &numbers, &E2M1_UPPER), looked_up(level, &numbers, &E2M1_LOWER));
        let mut values = [0f32; 32];
        for (value, (upper, lower)) in values.iter_mut().zip(upper.iter().zip(&lower)) {
            let [upper, lower] = [upper, lower].map(|byte| u32::from(byte.cast_unsigned()));
            *value = f32::from_bits(upper << 24 | lower << 16);
        }
        // The first eight of either group, then the second eight.
        let scales = [two[8], two[17]].map(|scale| e4m3_value(scale) * factor);
        for (half, values) in values.chunks_exact(8).enumerate() {
            let scale = scales[half % 2];
            let out = &mut out[half % 2 * 16 + half / 2 * 8..][..8];
            out.iter_mut().zip(values).for_each(|(out, value)| *out = value * scale);
        }
    }
    for (out, one) in last_out.chunks_exact_mut(16).zip(last.as_chunks::<9>().0) {
        pairs(&one[..8], e4m3_value(one[8]) * factor, out);
    }
}

/// Two factors that are multiplied one after the other, so that the first rounds as if it were alone.
struct Scale {
    first: f32,
    then: f32,
}

#[inline(always)]
fn scale_of(kind: GroupScale, bytes: &[u8]) -> f32 {
    match (kind, bytes) {
        (GroupScale::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
        (GroupScale::E4m3, &[byte]) => e4m3_value(byte),
        (GroupScale::E8m0, &[byte]) => e8m0(byte),
        _ => 1.0,
    }
}

/// 2^(byte − 127); 255 is no number. Source: the OCP Microscaling Formats (MX) specification 1.0, E8M0.
fn e8m0(byte: u8) -> f32 {
    match byte {
        0 => f32::from_bits(1 << 22),
        255 => f32::NAN,
        _ => f32::from_bits(u32::from(byte) << 23),
    }
}

/// 8-bit values, times a factor.
#[inline(always)]
fn values(element: Element, bytes: &[u8], factor: f32, out: &mut [f32]) {
    let all = out.iter_mut().zip(bytes);
    match element {
        Element::E4m3 => all.for_each(|(out, byte)| *out = e4m3_value(*byte) * factor),
        // The upper byte of a half.
        Element::E5m2 => all.for_each(|(out, byte)| *out = f16_value([0, *byte]) * factor),
        Element::Int8 => all.for_each(|(out, byte)| *out = f32::from(byte.cast_signed()) * factor),
        Element::E2m1 => {}
    }
}

/// 4-bit floats, times a factor: the first half of the values in the lower bits.
#[inline(always)]
fn pairs(bytes: &[u8], factor: f32, out: &mut [f32]) {
    let (low, high) = out.split_at_mut(bytes.len());
    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
        *low = e2m1(byte & 15) * factor;
        *high = e2m1(byte >> 4) * factor;
    }
}

/// A 4-bit float, by arithmetic that a processor does for many at once.
#[inline(always)]
fn e2m1(bits: u8) -> f32 {
    let (magnitude, negative) = (u32::from(bits & 7), u32::from(bits & 8));
    let exponent = magnitude >> 1;
    let twice = if exponent == 0 { magnitude } else { (magnitude & 1 | 2) << (exponent - 1) };
    f32::from_bits((twice as f32 * 0.5).to_bits() | negative << 28)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::decode::nibbles::TWICE_E2M1;

    #[test]
    fn four_bit_floats_are_half_of_the_table() {
        for bits in 0..16u8 {
            assert_eq!(e2m1(bits) * 2.0, f32::from(TWICE_E2M1[usize::from(bits)]));
            let byte = |table: &[i8; 16]| u32::from(table[usize::from(bits)].cast_unsigned());
            assert_eq!(e2m1(bits).to_bits(), byte(&E2M1_UPPER) << 24 | byte(&E2M1_LOWER) << 16);
        }
        assert!(e2m1(8).is_sign_negative());
    }

    #[test]
    fn exponents_are_powers_of_two() {
        for (byte, value) in [(0, 2f64.powi(-127)), (1, 2f64.powi(-126)), (127, 1.0), (254, 2f64.powi(127))] {
            assert_eq!(f64::from(e8m0(byte)), value);
        }
        assert!(e8m0(255).is_nan());
    }
}
