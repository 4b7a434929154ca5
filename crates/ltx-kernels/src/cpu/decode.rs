//! Packed values to f32: 8-bit and 16-bit floats, and the blocks of ggml that checkpoints are mostly stored in, bit for bit what candle's
//! slower decoders yield. Source of the blocks: ggml's public `block_q*` layouts.
//!
//! Must not know matrices.

use super::level::{Level, widest};
use crate::{Packing, e4m3};
use candle_core::quantized::GgmlDType;
use half::f16;

/// Whether [`decode`] knows this packing.
pub fn decodes(packing: Packing) -> bool {
    use GgmlDType::{Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    match packing {
        Packing::Fp8 { .. } | Packing::Bf16 | Packing::F16 => true,
        Packing::Blocks(kind) => matches!(kind, Q8_0 | Q4_0 | Q4_1 | Q5_0 | Q5_1 | Q2K | Q3K | Q4K | Q5K | Q6K),
    }
}

/// Decodes whole blocks, in reading order. Nothing is written for a packing that [`decodes`] does not name.
pub fn decode(level: Level, packing: Packing, bytes: &[u8], out: &mut [f32]) {
    widest(
        level,
        #[inline(always)]
        || match packing {
            Packing::Fp8 { scale } => fp8(bytes, scale, out),
            Packing::Bf16 => pairs(bytes, out, |pair| f32::from_bits(u32::from(u16::from_le_bytes(pair)) << 16)),
            Packing::F16 => pairs(bytes, out, f16_value),
            Packing::Blocks(GgmlDType::Q8_0) => each::<34, 32>(bytes, out, q8_0),
            Packing::Blocks(GgmlDType::Q4_0) => each::<18, 32>(bytes, out, q4_0),
            Packing::Blocks(GgmlDType::Q5_0) => each::<22, 32>(bytes, out, q5_0),
            Packing::Blocks(GgmlDType::Q4_1) => each::<20, 32>(bytes, out, q4_1),
            Packing::Blocks(GgmlDType::Q5_1) => each::<24, 32>(bytes, out, q5_1),
            Packing::Blocks(GgmlDType::Q2K) => each::<84, 256>(bytes, out, q2_k),
            Packing::Blocks(GgmlDType::Q3K) => each::<110, 256>(bytes, out, q3_k),
            Packing::Blocks(GgmlDType::Q4K) => each::<144, 256>(bytes, out, q4_k),
            Packing::Blocks(GgmlDType::Q5K) => each::<176, 256>(bytes, out, q5_k),
            Packing::Blocks(GgmlDType::Q6K) => each::<210, 256>(bytes, out, q6_k),
            Packing::Blocks(_) => {}
        },
    );
}

/// Runs a decoder on every block of `SIZE` bytes, which holds `VALUES` values.
#[inline(always)]
fn each<const SIZE: usize, const VALUES: usize>(
    bytes: &[u8],
    out: &mut [f32],
    block: impl Fn(&[u8; SIZE], &mut [f32; VALUES]),
) {
    let blocks = bytes.as_chunks::<SIZE>().0.iter();
    out.as_chunks_mut::<VALUES>().0.iter_mut().zip(blocks).for_each(|(out, bytes)| block(bytes, out));
}

/// Runs a decoder on every value of two bytes.
#[inline(always)]
fn pairs(bytes: &[u8], out: &mut [f32], value: impl Fn([u8; 2]) -> f32) {
    out.iter_mut().zip(bytes.as_chunks::<2>().0).for_each(|(out, pair)| *out = value(*pair));
}

/// Half precision by arithmetic on its bits, which a processor does for many values at once: exponent and mantissa moved to f32's
/// place are the value times 2⁻¹¹², subnormals included.
#[inline(always)]
fn f16_value(pair: [u8; 2]) -> f32 {
    const REBIAS: f32 = f32::from_bits((127 + 112) << 23);
    let bits = u32::from(u16::from_le_bytes(pair));
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * REBIAS;
    let infinite = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(magnitude.to_bits() | infinite | (bits & 0x8000) << 16)
}

/// Eight-bit floats by arithmetic on their bits, without a table: e4m3's exponent and mantissa moved to f32's place are the value
/// times 2⁻¹²⁰, subnormals included.
#[inline(always)]
fn fp8(bytes: &[u8], scale: f32, out: &mut [f32]) {
    const REBIAS: f32 = f32::from_bits((127 + 120) << 23);
    for (out, byte) in out.iter_mut().zip(bytes) {
        let bits = u32::from(*byte);
        let magnitude = f32::from_bits((bits & 0x7f) << 20) * REBIAS;
        let value = f32::from_bits(magnitude.to_bits() | (bits & 0x80) << 24);
        *out = if bits & 0x7f == 0x7f { e4m3(0x7f) } else { value } * scale;
    }
}

#[inline(always)]
fn half(low: u8, high: u8) -> f32 {
    f16::from_le_bytes([low, high]).to_f32()
}

/// A scale and 32 signed bytes.
#[inline(always)]
fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let scale = half(block[0], block[1]);
    out.iter_mut().zip(&block[2..]).for_each(|(out, byte)| *out = f32::from(byte.cast_signed()) * scale);
}

/// A scale and 32 nibbles less 8: the first 16 values in the low ones.
#[inline(always)]
fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half(block[0], block[1]);
    let (low, high) = out.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(&block[2..]) {
        *low = f32::from((byte & 15).cast_signed() - 8) * scale;
        *high = f32::from((byte >> 4).cast_signed() - 8) * scale;
    }
}

/// As [`q4_0`], with a fifth bit for each value in four bytes; less 16.
#[inline(always)]
fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
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
fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (scale, minimum) = (half(block[0], block[1]), half(block[2], block[3]));
    let (low, high) = out.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(&block[4..]) {
        *low = f32::from(byte & 15) * scale + minimum;
        *high = f32::from(byte >> 4) * scale + minimum;
    }
}

/// As [`q4_1`], with a fifth bit for each value in four bytes.
#[inline(always)]
fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (scale, minimum) = (half(block[0], block[1]), half(block[2], block[3]));
    let fifth = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    let (low, high) = out.split_at_mut(16);
    for (i, ((low, high), byte)) in low.iter_mut().zip(high).zip(&block[8..]).enumerate() {
        let (first, second) = (fifth >> i & 1, fifth >> (i + 16) & 1);
        *low = (u32::from(byte & 15) | first << 4) as f32 * scale + minimum;
        *high = (u32::from(byte >> 4) | second << 4) as f32 * scale + minimum;
    }
}

/// Pairs of bits in groups of 16, each with four bits of scale and of minimum; halves of 128 values share 32 bytes.
#[inline(always)]
fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (all, least) = (half(block[80], block[81]), half(block[82], block[83]));
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        let (half, quarter) = (group / 8, group % 8 / 2);
        let (scale, minimum) = (all * f32::from(block[group] & 15), least * f32::from(block[group] >> 4));
        let bytes = &block[16 + 32 * half + group % 2 * 16..][..16];
        for (out, byte) in out.iter_mut().zip(bytes) {
            *out = scale * f32::from(byte >> (2 * quarter) & 3) - minimum;
        }
    }
}

/// Pairs of bits as in [`q2_k`], less 4 where a third bit is not set, in groups of 16 with six bits of signed scale.
#[inline(always)]
fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let (thirds, scales, all) = (&block[..32], &block[96..108], half(block[108], block[109]));
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        let (half, quarter) = (group / 8, group % 8 / 2);
        let low = scales[group % 8] >> (group / 8 * 4) & 15;
        let high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
        let scale = all * f32::from((low | high << 4).cast_signed() - 32);
        let bytes = &block[32 + 32 * half + group % 2 * 16..][..16];
        for (out, (byte, third)) in out.iter_mut().zip(bytes.iter().zip(&thirds[group % 2 * 16..])) {
            let less = if third >> (4 * half + quarter) & 1 == 0 { 4 } else { 0 };
            *out = scale * f32::from((byte >> (2 * quarter) & 3).cast_signed() - less);
        }
    }
}

/// The six-bit scale and minimum of group `i` of eight, from their twelve bytes.
#[inline(always)]
fn scale_and_minimum(i: usize, packed: &[u8]) -> (f32, f32) {
    let (scale, minimum) = if i < 4 {
        (packed[i] & 63, packed[i + 4] & 63)
    } else {
        (packed[i + 4] & 15 | packed[i - 4] >> 6 << 4, packed[i + 4] >> 4 | packed[i] >> 6 << 4)
    };
    (f32::from(scale), f32::from(minimum))
}

/// Two scales, eight groups of 32 nibbles, each with a scale and a minimum; pairs of groups share 32 bytes.
#[inline(always)]
fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (all, least) = (half(block[0], block[1]), half(block[2], block[3]));
    for (pair, (out, bytes)) in out.chunks_exact_mut(64).zip(block[16..].chunks_exact(32)).enumerate() {
        let (low, high) = out.split_at_mut(32);
        let (scale, minimum) = scale_and_minimum(2 * pair, &block[4..16]);
        let (scale_2, minimum_2) = scale_and_minimum(2 * pair + 1, &block[4..16]);
        let (scale, minimum, scale_2, minimum_2) = (all * scale, least * minimum, all * scale_2, least * minimum_2);
        for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
            *low = scale * f32::from(byte & 15) - minimum;
            *high = scale_2 * f32::from(byte >> 4) - minimum_2;
        }
    }
}

/// As [`q4_k`], with a fifth bit for each value: bit `g` of 32 bytes is group `g`'s.
#[inline(always)]
fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (all, least) = (half(block[0], block[1]), half(block[2], block[3]));
    let fifths = &block[16..48];
    for (pair, (out, bytes)) in out.chunks_exact_mut(64).zip(block[48..].chunks_exact(32)).enumerate() {
        let (low, high) = out.split_at_mut(32);
        let (scale, minimum) = scale_and_minimum(2 * pair, &block[4..16]);
        let (scale_2, minimum_2) = scale_and_minimum(2 * pair + 1, &block[4..16]);
        let (scale, minimum, scale_2, minimum_2) = (all * scale, least * minimum, all * scale_2, least * minimum_2);
        for (((low, high), byte), fifth) in low.iter_mut().zip(high).zip(bytes).zip(fifths) {
            *low = scale * f32::from(byte & 15 | (fifth >> (2 * pair) & 1) << 4) - minimum;
            *high = scale_2 * f32::from(byte >> 4 | (fifth >> (2 * pair + 1) & 1) << 4) - minimum_2;
        }
    }
}

/// Nibbles and pairs of upper bits, less 32, in groups of 16 with a signed scale, and one scale for all. Halves of 128 values: 64
/// bytes of nibbles, 32 of upper bits, eight scales.
#[inline(always)]
fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let all = half(block[208], block[209]);
    for (i, out) in out.chunks_exact_mut(128).enumerate() {
        let (nibbles, upper) = (&block[64 * i..][..64], &block[128 + 32 * i..][..32]);
        for (quarter, out) in out.chunks_exact_mut(32).enumerate() {
            let nibbles = &nibbles[quarter % 2 * 32..][..32];
            for (group, out) in out.chunks_exact_mut(16).enumerate() {
                let scale = all * f32::from(block[192 + 8 * i + 2 * quarter + group].cast_signed());
                let values = nibbles[16 * group..].iter().zip(&upper[16 * group..]);
                for (out, (nibble, upper)) in out.iter_mut().zip(values) {
                    let value = nibble >> (quarter / 2 * 4) & 15 | (upper >> (2 * quarter) & 3) << 4;
                    *out = scale * f32::from(value.cast_signed() - 32);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::CpuStorage;
    use std::borrow::Cow;

    /// Bytes in which every bit occurs; halves are replaced, because a random one may be no number.
    fn bytes(count: usize) -> Vec<u8> {
        (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    #[test]
    fn blocks_are_what_candle_makes_of_them_bit_for_bit() {
        use GgmlDType::{Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
        let small = [(Q8_0, &[0][..]), (Q4_0, &[0]), (Q5_0, &[0]), (Q4_1, &[0, 2]), (Q5_1, &[0, 2])];
        let large = [(Q2K, &[80, 82][..]), (Q3K, &[108]), (Q4K, &[0, 2]), (Q5K, &[0, 2]), (Q6K, &[208])];
        for (kind, halves) in small.into_iter().chain(large) {
            let mut data = bytes(kind.type_size() * 40);
            for (i, block) in data.chunks_mut(kind.type_size()).enumerate() {
                for half in halves {
                    let value = f16::from_f32((i as f32 - 17.0) * 0.013 + *half as f32 * 0.1);
                    block[*half..half + 2].copy_from_slice(&value.to_le_bytes());
                }
            }
            let count = kind.block_size() * 40;
            let CpuStorage::F32(expected) = kind.from_data(Cow::Borrowed(&data)).dequantize(count).unwrap() else {
                panic!("{kind:?}: candle decodes to f32");
            };
            for level in Level::available() {
                let mut found = vec![f32::NAN; count];
                decode(level, Packing::Blocks(kind), &data, &mut found);
                let same = found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{level:?} {kind:?}");
            }
        }
    }

    #[test]
    fn eight_bit_floats_follow_their_definition() {
        let data: Vec<u8> = (0..=255).collect();
        for level in Level::available() {
            let mut found = vec![0f32; 256];
            decode(level, Packing::Fp8 { scale: 0.37 }, &data, &mut found);
            for (byte, found) in found.iter().enumerate() {
                let expected = e4m3(byte as u8) * 0.37;
                let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
                assert!(same, "{level:?} {byte:#x}: {found} {expected}");
            }
        }
    }

    #[test]
    fn every_sixteen_bit_float_is_widened_exactly() {
        let data: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let bf16 = |bits: u16| half::bf16::from_bits(bits).to_f32();
        let wide = |packing: Packing, bits: u16| {
            if packing == Packing::Bf16 { bf16(bits) } else { f16::from_bits(bits).to_f32() }
        };
        for level in Level::available() {
            for packing in [Packing::Bf16, Packing::F16] {
                let mut found = vec![0f32; 1 << 16];
                decode(level, packing, &data, &mut found);
                for (bits, found) in (0..=u16::MAX).zip(&found) {
                    let expected = wide(packing, bits);
                    let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
                    assert!(same, "{level:?} {packing:?} {bits:#x}: {found} {expected}");
                }
            }
        }
    }
}
