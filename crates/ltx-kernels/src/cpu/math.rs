//! Arithmetic that the compiler can vectorise: sums over fixed lanes, and an exponential without branches.
//!
//! Results are the same on every instruction set: lanes are fixed in number, and products are fused with sums only where
//! `FUSED` says so.
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
    fold(lanes, |a, b| a + b)
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
    rest.iter().copied().fold(fold(lanes, larger), larger)
}

/// `e^x` for `x ≤ 0`, within 2 ulp; 0 below −87. Range reduction by ln 2 and the degree-6 polynomial of Cephes' `expf`.
#[inline(always)]
pub(super) fn exp_nonpositive(x: f32) -> f32 {
    exp_fused::<false>(x)
}

/// `a · b + c`; in one operation if `FUSED`, which only code for processors that have one should ask for.
#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn exp_fused<const FUSED: bool>(x: f32) -> f32 {
    // Written so that a value that is not a number passes through.
    let clamped = if x < -87.0 { -87.0 } else { x };
    let y = exp_bounded::<FUSED>(clamped);
    if x < -87.0 { 0.0 } else { y }
}

/// `e^x` for −87 ≤ x ≤ 88.
#[inline(always)]
fn exp_bounded<const FUSED: bool>(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5·2²³ rounds to the nearest integer in the mantissa's low bits.
    const MAGIC: f32 = 12_582_912.0;
    let shifted = multiply_add::<FUSED>(x, std::f32::consts::LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    let r = multiply_add::<FUSED>(n, -LN2_LOW, multiply_add::<FUSED>(n, -LN2_HIGH, x));
    let mut p = 1.987_569_1e-4f32;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = multiply_add::<FUSED>(p, r, coefficient);
    }
    let y = multiply_add::<FUSED>(p, r * r, r) + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    y * power
}

/// `x / (1 + e^−x)`.
#[inline(always)]
pub(super) fn silu(x: f32) -> f32 {
    // e^88 is still finite. Written so that a value that is not a number passes through.
    let y = if x < -88.0 { -88.0 } else { x };
    let y = if y > 87.0 { 87.0 } else { y };
    x / (1.0 + exp_bounded::<false>(-y))
}

/// Turns every value into `e^(x − largest)`, none of them larger than `largest`, and yields their sum over sixteen lanes.
#[inline(always)]
pub(super) fn exp_and_sum<const FUSED: bool>(values: &mut [f32], largest: f32) -> f32 {
    let (chunks, rest) = values.as_chunks_mut::<LANES>();
    let mut lanes = [0f32; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *value = exp_fused::<FUSED>(*value - largest);
            *lane += *value;
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *value = exp_fused::<FUSED>(*value - largest);
        *lane += *value;
    }
    fold(lanes, |a, b| a + b)
}

/// One value of sixteen lanes, halved in turn.
#[inline(always)]
fn fold(mut lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = join(lanes[i], lanes[i + half]);
        }
    }
    lanes[0]
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
            for found in [exp_fused::<false>(x), exp_fused::<true>(x)] {
                let expected = x.exp();
                assert!((found - expected).abs() <= expected * 2.4e-7, "{x}: {found} {expected}");
            }
        }
        assert_eq!(exp_nonpositive(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp_nonpositive(0.0), 1.0);
    }

    #[test]
    fn silu_equals_the_library_far_and_near() {
        for i in -100_000..100_000 {
            let x = i as f32 / 1000.0;
            let (found, expected) = (f64::from(silu(x)), f64::from(x) / (1.0 + (-f64::from(x)).exp()));
            assert!((found - expected).abs() <= expected.abs() * 1e-6 + 1e-36, "{x}: {found} {expected}");
        }
    }

    #[test]
    fn a_value_that_is_not_a_number_stays_one() {
        assert!(sigmoid(f32::NAN).is_nan() && silu(f32::NAN).is_nan());
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
