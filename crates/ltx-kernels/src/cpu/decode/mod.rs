//! Packed values to f32: 8-bit and 16-bit floats, groups with a scale each, and the blocks of ggml, bit for bit what the formats'
//! own decoders yield. Source of the blocks: ggml's public `block_q*` layouts.
//!
//! Must not know matrices.

mod floats;
mod grids;
mod groups;
mod iq;
mod k;
mod nibbles;
mod rotation;
mod simple;
mod ternary;

use super::level::{Instructions, Level};
use crate::{Block, Packing};
use floats::{f16_value, fp8, pairs};
pub use rotation::MOST as MOST_ROTATED;

/// Decodes whole blocks, in reading order.
///
/// Every level has a function of its own, not a closure in [`widest`](super::level::widest): so a compiler knows that what is read and
/// what is written are apart.
#[allow(unsafe_code)]
pub fn decode(level: Level, packing: Packing, bytes: &[u8], out: &mut [f32]) {
    match level.instructions() {
        // SAFETY: a level is only made where the processor has it.
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 | Instructions::Amx => unsafe { decode_in_avx512(level, packing, bytes, out) },
        // SAFETY: the same.
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => unsafe { decode_in_avx2(level, packing, bytes, out) },
        _ => every_packing(level, packing, bytes, out),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c")]
fn decode_in_avx512(level: Level, packing: Packing, bytes: &[u8], out: &mut [f32]) {
    every_packing(level, packing, bytes, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn decode_in_avx2(level: Level, packing: Packing, bytes: &[u8], out: &mut [f32]) {
    every_packing(level, packing, bytes, out);
}

#[inline(always)]
fn every_packing(level: Level, packing: Packing, bytes: &[u8], out: &mut [f32]) {
    match packing {
        Packing::Fp8 { scale } => fp8(bytes, scale, out),
        Packing::Bf16 => pairs(bytes, out, |pair| f32::from_bits(u32::from(u16::from_le_bytes(pair)) << 16)),
        Packing::F16 => pairs(bytes, out, f16_value),
        Packing::Groups(kind) => groups::groups(level, kind, bytes, out),
        Packing::Blocks(kind) => blocks(level, kind, bytes, out),
    }
}

/// ggml's blocks.
#[inline(always)]
fn blocks(level: Level, kind: Block, bytes: &[u8], out: &mut [f32]) {
    /// A decoder as a closure is compiled for the level with what is around it; one that is passed by its name is not, which was
    /// measured to be faster with AVX-512 for `Q2_K` and for most of those that look numbers up in grids.
    macro_rules! all_of {
        ($size:literal, $values:literal, $decoder:path $(, $level:ident)?) => {
            each::<$size, $values>(
                bytes,
                out,
                #[inline(always)]
                |block, out| $decoder($($level,)? block, out),
            )
        };
    }
    match kind {
        Block::Q8_0 => all_of!(34, 32, simple::q8_0),
        Block::Q4_0 => all_of!(18, 32, simple::q4_0),
        Block::Q5_0 => all_of!(22, 32, simple::q5_0),
        Block::Q4_1 => all_of!(20, 32, simple::q4_1),
        Block::Q5_1 => all_of!(24, 32, simple::q5_1),
        Block::Q2_K => each::<84, 256>(bytes, out, k::q2_k),
        Block::Q3_K => all_of!(110, 256, k::q3_k),
        Block::Q4_K => all_of!(144, 256, k::q4_k),
        Block::Q5_K => all_of!(176, 256, k::q5_k),
        Block::Q6_K => all_of!(210, 256, k::q6_k),
        Block::IQ2_XXS => each::<66, 256>(bytes, out, iq::iq2_xxs),
        Block::IQ2_XS => each::<74, 256>(bytes, out, iq::iq2_xs),
        Block::IQ2_S => each::<82, 256>(bytes, out, iq::iq2_s),
        Block::IQ3_XXS => each::<98, 256>(bytes, out, iq::iq3_xxs),
        Block::IQ3_S => each::<110, 256>(bytes, out, iq::iq3_s),
        Block::IQ1_S => each::<50, 256>(bytes, out, iq::iq1_s),
        Block::IQ1_M => each::<56, 256>(bytes, out, iq::iq1_m),
        Block::IQ4_NL => all_of!(18, 32, nibbles::iq4_nl, level),
        Block::IQ4_XS => all_of!(136, 256, nibbles::iq4_xs, level),
        Block::MXFP4 => all_of!(17, 32, nibbles::mxfp4, level),
        Block::NVFP4 => all_of!(36, 64, nibbles::nvfp4, level),
        Block::TQ1_0 => all_of!(54, 256, ternary::tq1_0),
        Block::TQ2_0 => all_of!(66, 256, ternary::tq2_0),
    }
}

/// Runs a decoder on every block of `SIZE` bytes, which holds `VALUES` values.
#[inline(always)]
fn each<const SIZE: usize, const VALUES: usize>(
    bytes: &[u8],
    out: &mut [f32],
    block: impl Fn(&[u8; SIZE], &mut [f32; VALUES]),
) {
    for (out, bytes) in out.as_chunks_mut::<VALUES>().0.iter_mut().zip(bytes.as_chunks::<SIZE>().0) {
        block(bytes, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e4m3;
    use candle_core::{CpuStorage, quantized::GgmlDType};
    use half::f16;
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
                decode(level, Packing::Blocks(Block::of(kind).unwrap()), &data, &mut found);
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
