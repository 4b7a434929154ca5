//! An exponential that the compiler can vectorise.
//!
//! Must not know softmax.

/// `e^x` for `x ≤ 0`, within 2 ulp; 0 below −87. Range reduction by ln 2 and the degree-6 polynomial of Cephes' `expf`.
#[inline(always)]
pub(super) fn exp_nonpositive(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.max(-87.0);
    // Adding 1.5·2²³ rounds to the nearest integer in the mantissa's low bits.
    let magic = 12_582_912.0f32;
    let n = (clamped * std::f32::consts::LOG2_E + magic) - magic;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4f32;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let power = f32::from_bits((((n as i32) + 127) << 23) as u32);
    if x < -87.0 { 0.0 } else { y * power }
}

#[cfg(test)]
mod tests {
    use super::exp_nonpositive;

    #[test]
    fn equals_the_library_within_two_ulp() {
        for i in 0..200_000 {
            let x = -(i as f32) * 86.9 / 200_000.0;
            let (found, expected) = (exp_nonpositive(x), x.exp());
            assert!((found - expected).abs() <= expected * 2.4e-7, "{x}: {found} {expected}");
        }
        assert_eq!(exp_nonpositive(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp_nonpositive(0.0), 1.0);
    }
}
