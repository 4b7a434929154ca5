//! Arithmetic that the compiler can vectorise: sums over fixed lanes, and an exponential without branches.
//!
//! Every result is the same on every instruction set: lanes are fixed in number, and products are never fused with sums.
//!
//! Must not know what it is used for.

/// Partial sums that run side by side.
const LANES: usize = 16;

/// The sum of `term(x)`, added in f32 over sixteen lanes and then together.
#[inline(always)]
pub(super) fn sum(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += term(*value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += term(*value);
    }
    lanes.iter().sum()
}

/// The largest value; −∞ of none.
#[inline(always)]
pub(super) fn max(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, *value);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

/// `e^x` for `x ≤ 0`, within 2 ulp; 0 below −87. Range reduction by ln 2 and the degree-6 polynomial of Cephes' `expf`.
#[inline(always)]
pub(super) fn exp_nonpositive(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Written so that a value that is not a number passes through.
    let clamped = if x < -87.0 { -87.0 } else { x };
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

/// `1 / (1 + e^−x)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    let e = exp_nonpositive(-x.abs());
    let share = 1.0 / (1.0 + e);
    if x < 0.0 { e * share } else { share }
}

/// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`, written as `x · σ(2 …)`, which is the same.
#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    /// `2 √(2/π)`.
    const SCALE: f32 = 1.595_769;
    const CUBIC: f32 = 0.044_715;
    x * sigmoid(SCALE * (x + CUBIC * x * x * x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_equals_the_library_within_two_ulp() {
        for i in 0..200_000 {
            let x = -(i as f32) * 86.9 / 200_000.0;
            let (found, expected) = (exp_nonpositive(x), x.exp());
            assert!((found - expected).abs() <= expected * 2.4e-7, "{x}: {found} {expected}");
        }
        assert_eq!(exp_nonpositive(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp_nonpositive(0.0), 1.0);
    }

    #[test]
    fn a_value_that_is_not_a_number_stays_one() {
        assert!(sigmoid(f32::NAN).is_nan());
        assert!(sum(&[1.0, f32::NAN], |x| x).is_nan());
    }

    #[test]
    fn lanes_take_every_value() {
        for count in [0, 1, 15, 16, 17, 100] {
            let values: Vec<f32> = (0..count).map(|i| i as f32).collect();
            assert_eq!(sum(&values, |x| x), values.iter().sum::<f32>());
            assert_eq!(max(&values), values.last().copied().unwrap_or(f32::NEG_INFINITY));
        }
    }
}
