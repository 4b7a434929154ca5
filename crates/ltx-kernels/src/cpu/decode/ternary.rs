//! ggml's blocks of 256 values that are −1, 0 or 1, with one scale.
//!
//! Must not know rows.

use super::floats::half;

/// Five values in a byte: it is their number in base three, as a fraction of 256.
#[inline(always)]
pub(super) fn tq1_0(block: &[u8; 54], out: &mut [f32; 256]) {
    let scale = half(block[52], block[53]);
    let (first, rest) = out.split_at_mut(160);
    let (second, last) = rest.split_at_mut(80);
    digits(&block[..32], scale, first);
    digits(&block[32..48], scale, second);
    digits(&block[48..52], scale, last);
}

/// The first digits of all bytes, then the second ones, and so on.
#[inline(always)]
fn digits(bytes: &[u8], scale: f32, out: &mut [f32]) {
    for (out, power) in out.chunks_exact_mut(bytes.len()).zip([1u8, 3, 9, 27, 81]) {
        for (out, byte) in out.iter_mut().zip(bytes) {
            let digit = (u16::from(byte.wrapping_mul(power)) * 3) >> 8;
            *out = scale * (f32::from(digit) - 1.0);
        }
    }
}

/// Pairs of bits; halves of 128 values share 32 bytes.
#[inline(always)]
pub(super) fn tq2_0(block: &[u8; 66], out: &mut [f32; 256]) {
    let scale = half(block[64], block[65]);
    for (out, bytes) in out.chunks_exact_mut(128).zip(block.chunks_exact(32)) {
        for (quarter, out) in out.chunks_exact_mut(32).enumerate() {
            for (out, byte) in out.iter_mut().zip(bytes) {
                *out = scale * (f32::from(byte >> (2 * quarter) & 3) - 1.0);
            }
        }
    }
}
