//! Values in 8 bits: groups of [`GROUP`] share a scale, largest magnitude 127.
//!
//! Must not know products.

use crate::kernels::cpu::{gemm::COLUMNS, level::widest};
use rayon::prelude::*;

/// Values along `k` that share a scale.
pub(crate) const GROUP: usize = 128;
/// Values of `k` that one instruction multiplies.
pub(super) const FOUR: usize = 4;

/// A weight `[outputs, inputs]` in panels of [`COLUMNS`] outputs. Outputs past the last are 0.
pub(crate) struct Weights8 {
    /// `[panels, inputs / FOUR, COLUMNS, FOUR]`.
    pub(super) values: Vec<i8>,
    /// `[panels, inputs / GROUP, COLUMNS]`.
    pub(super) scales: Vec<f32>,
    /// −128 times the sum of each group's values, in the same order: what the offset of the left side adds, taken back.
    pub(super) offsets: Vec<i32>,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
}

/// Rows `[rows, inputs]` in 8 bits, each value 128 too large.
#[derive(Default)]
pub(super) struct Rows8 {
    /// `[rows, inputs]`.
    pub(super) values: Vec<u8>,
    /// `[rows, inputs / GROUP]`.
    pub(super) scales: Vec<f32>,
}

impl Weights8 {
    /// Packs a weight, of which `row` writes the values of an output; `inputs` is a multiple of [`GROUP`].
    pub(crate) fn pack((outputs, inputs): (usize, usize), row: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        let (panels, groups) = (outputs.div_ceil(COLUMNS), inputs / GROUP);
        let mut packed = Self {
            values: vec![0; panels * inputs * COLUMNS],
            scales: vec![0.0; panels * groups * COLUMNS],
            offsets: vec![0; panels * groups * COLUMNS],
            outputs,
            inputs,
        };
        let values = packed.values.par_chunks_mut((inputs * COLUMNS).max(1));
        let scales = packed.scales.par_chunks_mut((groups * COLUMNS).max(1));
        let offsets = packed.offsets.par_chunks_mut((groups * COLUMNS).max(1));
        values.zip(scales).zip(offsets).enumerate().for_each(|(panel, ((values, scales), offsets))| {
            let (mut wide, mut narrow) = (vec![0f32; inputs], [0i8; GROUP]);
            for column in 0..COLUMNS.min(outputs - panel * COLUMNS) {
                row(panel * COLUMNS + column, &mut wide);
                for (group, wide) in wide.chunks(GROUP).enumerate() {
                    scales[group * COLUMNS + column] = quantize(wide, &mut narrow);
                    offsets[group * COLUMNS + column] =
                        -128 * narrow.iter().map(|value| i32::from(*value)).sum::<i32>();
                    for (i, four) in narrow.chunks(FOUR).enumerate() {
                        let place = ((group * GROUP / FOUR + i) * COLUMNS + column) * FOUR;
                        values[place..place + FOUR].copy_from_slice(four);
                    }
                }
            }
        });
        packed
    }

    /// `[outputs, inputs]`.
    pub(crate) fn shape(&self) -> [usize; 2] {
        [self.outputs, self.inputs]
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.values.len() + 4 * (self.scales.len() + self.offsets.len())
    }
}

impl Rows8 {
    /// From rows that lie one after the other.
    pub(super) fn new(mut buffer: Self, x: &[f32], inputs: usize) -> Self {
        buffer.values.resize(x.len(), 0);
        buffer.scales.resize(x.len() / GROUP, 0.0);
        let (values, scales) = (buffer.values.par_chunks_mut(inputs), buffer.scales.par_chunks_mut(inputs / GROUP));
        values.zip(scales).zip(x.par_chunks(inputs)).for_each(|((values, scales), x)| {
            widest(
                #[inline(always)]
                || {
                    let mut narrow = [0i8; GROUP];
                    for ((values, scale), x) in values.chunks_mut(GROUP).zip(scales).zip(x.chunks(GROUP)) {
                        *scale = quantize(x, &mut narrow);
                        values
                            .iter_mut()
                            .zip(&narrow)
                            .for_each(|(value, narrow)| *value = narrow.cast_unsigned() ^ 0x80);
                    }
                },
            );
        });
        buffer
    }
}

/// One group: rounds to the nearest step, halves to even, and yields the step's size; 0 if all values are. A value that is not
/// finite makes the step so, and with it every product.
#[inline(always)]
fn quantize(wide: &[f32], narrow: &mut [i8; GROUP]) -> f32 {
    /// Adding 1.5·2²³ rounds to the nearest integer in the mantissa's low bits.
    const MAGIC: f32 = 12_582_912.0;
    let (mut largest, mut odd) = ([0f32; 16], [0f32; 16]);
    for chunk in wide.as_chunks::<16>().0 {
        for ((largest, odd), value) in largest.iter_mut().zip(&mut odd).zip(chunk) {
            *largest = if value.abs() > *largest { value.abs() } else { *largest };
            *odd += value * 0.0;
        }
    }
    let largest = largest.iter().fold(0f32, |a, b| if *b > a { *b } else { a });
    let odd: f32 = odd.iter().sum();
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    for (narrow, value) in narrow.iter_mut().zip(wide) {
        *narrow = ((value * inverse + MAGIC).to_bits() & 0xff) as u8 as i8;
    }
    largest / 127.0 + odd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_within_half_a_step() {
        let wide: Vec<f32> = (0..GROUP).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.013).collect();
        let mut narrow = [0i8; GROUP];
        let step = quantize(&wide, &mut narrow);
        for (wide, narrow) in wide.iter().zip(narrow) {
            assert!((wide - f32::from(narrow) * step).abs() <= step * 0.5001, "{wide} {narrow}");
        }
        assert_eq!(narrow.iter().map(|value| value.unsigned_abs()).max(), Some(127));
        assert_eq!(quantize(&[0.0; GROUP], &mut narrow), 0.0);
        assert_eq!(narrow, [0; GROUP]);
    }

    #[test]
    fn what_is_not_finite_is_not_hidden() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut wide = [1.0; GROUP];
            wide[77] = odd;
            assert!(!quantize(&wide, &mut [0; GROUP]).is_finite());
        }
    }
}
