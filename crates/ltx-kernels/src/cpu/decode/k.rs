//! ggml's K blocks: 256 values in groups, whose scales are numbers of a few bits.
//!
//! Must not know rows.

use super::floats::half;

/// Pairs of bits in groups of 16, each with four bits of scale and of minimum; halves of 128 values share 32 bytes.
#[inline(always)]
pub(super) fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
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
pub(super) fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
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
pub(super) fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
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
pub(super) fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
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
pub(super) fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
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
