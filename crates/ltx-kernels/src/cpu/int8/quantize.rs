//! Values in 8 bits: groups of [`GROUP`] share a scale. The largest magnitude is 127, or what the path says for the left side.
//!
//! Must not know products.

use super::{EightBit, tile::Path};
use crate::cpu::{
    Level,
    gemm::{COLUMNS, ROWS},
    level::widest,
};
use rayon::prelude::*;
use std::ops::Range;

/// Values along `k` that share a scale.
pub const GROUP: usize = 128;
/// Magnitude of a group's largest value.
pub(super) const LARGEST: f32 = 127.0;
/// Values of `k` that one instruction multiplies.
pub(super) const FOUR: usize = 4;

/// A weight `[outputs, inputs]` in panels of [`COLUMNS`] outputs. Outputs past the last are 0.
pub struct Weights8 {
    /// `[panels, inputs / FOUR, COLUMNS, FOUR]`.
    pub(super) values: Vec<i8>,
    /// `[panels, inputs / GROUP, COLUMNS]`.
    pub(super) scales: Vec<f32>,
    /// −128 times the sum of each group's values, in the same order: what the offset of the left side adds, taken back.
    pub(super) offsets: Vec<i32>,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
}

/// Rows in 8 bits, in panels of [`ROWS`]. What is past the last row counts for nothing.
#[derive(Default)]
pub(super) struct Rows8 {
    /// `[panels, inputs / GROUP, ROWS, GROUP]`, each value [`Path::offset`] too large.
    values: Vec<u8>,
    /// `[panels, inputs / GROUP, ROWS]`.
    scales: Vec<f32>,
}

/// Some groups of a panel of rows.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    /// `[groups, ROWS, GROUP]`.
    pub(super) values: &'a [u8],
    /// `[groups, ROWS]`.
    pub(super) scales: &'a [f32],
}

/// Some groups of a panel of a weight.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    /// `[groups * GROUP / FOUR, COLUMNS, FOUR]`.
    pub(super) values: &'a [i8],
    /// `[groups, COLUMNS]`.
    pub(super) scales: &'a [f32],
    /// As the scales.
    pub(super) offsets: &'a [i32],
}

impl Weights8 {
    /// Packs a weight, of which `row` writes the values of an output; `inputs` is a multiple of [`GROUP`].
    pub fn pack([outputs, inputs]: [usize; 2], row: impl Fn(usize, &mut [f32]) + Sync) -> Self {
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
            let mut wide = vec![0f32; inputs];
            let mut to = PanelMut { values, scales, offsets };
            for column in 0..COLUMNS.min(outputs - panel * COLUMNS) {
                row(panel * COLUMNS + column, &mut wide);
                to.write(column, &wide);
            }
        });
        packed
    }

    /// `[outputs, inputs]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.outputs, self.inputs]
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.values.len() + 4 * (self.scales.len() + self.offsets.len())
    }
}

impl EightBit for Weights8 {
    const READY: bool = true;

    fn shape(&self) -> [usize; 2] {
        Weights8::shape(self)
    }

    fn part<'a>(&'a self, panel: usize, groups: Range<usize>, _: &'a mut Panel8) -> Right<'a> {
        let start = panel * (self.inputs / GROUP);
        let place = (start + groups.start) * COLUMNS..(start + groups.end) * COLUMNS;
        let values = &self.values[place.start * GROUP..place.end * GROUP];
        Right { values, scales: &self.scales[place.clone()], offsets: &self.offsets[place] }
    }
}

/// Some groups of a panel, to be written column by column; laid out as [`Right`].
pub(super) struct PanelMut<'a> {
    pub(super) values: &'a mut [i8],
    pub(super) scales: &'a mut [f32],
    pub(super) offsets: &'a mut [i32],
}

impl PanelMut<'_> {
    /// Rounds a column's values of all groups.
    #[inline(always)]
    pub(super) fn write(&mut self, column: usize, wide: &[f32]) {
        let mut narrow = [0i8; GROUP];
        for (group, wide) in wide.chunks(GROUP).enumerate() {
            self.scales[group * COLUMNS + column] = quantize(wide, LARGEST, &mut narrow);
            self.offsets[group * COLUMNS + column] = -128 * narrow.iter().map(|value| i32::from(*value)).sum::<i32>();
            let values = &mut self.values[group * GROUP * COLUMNS..][..GROUP * COLUMNS];
            for (four, values) in narrow.as_chunks::<FOUR>().0.iter().zip(values.chunks_exact_mut(COLUMNS * FOUR)) {
                values[column * FOUR..][..FOUR].copy_from_slice(four);
            }
        }
    }
}

/// Room for some groups of a panel, and for one column of them in f32.
#[derive(Default)]
pub(super) struct Panel8 {
    wide: Vec<f32>,
    values: Vec<i8>,
    scales: Vec<f32>,
    offsets: Vec<i32>,
}

impl Panel8 {
    /// So many groups of a panel of so many columns, of which `column` writes the values; columns past the last are 0.
    #[inline(always)]
    pub(super) fn made(&mut self, (groups, columns): (usize, usize), column: impl Fn(usize, &mut [f32])) -> Right<'_> {
        let count = groups * COLUMNS;
        self.wide.resize(groups * GROUP, 0.0);
        self.values.resize(count * GROUP, 0);
        self.scales.resize(count, 0.0);
        self.offsets.resize(count, 0);
        let Self { wide, values, scales, offsets } = self;
        if columns < COLUMNS {
            values.fill(0);
            scales.fill(0.0);
            offsets.fill(0);
        }
        let mut to = PanelMut { values, scales, offsets };
        for i in 0..columns {
            column(i, wide);
            to.write(i, wide);
        }
        let PanelMut { values, scales, offsets } = to;
        Right { values, scales, offsets }
    }
}

impl Rows8 {
    /// From rows that lie one after the other. The buffer of an earlier one can be used again.
    pub(super) fn new(buffer: Self, x: &[f32], inputs: usize, level: Level) -> Self {
        let path = Path::of(level);
        let Self { mut values, mut scales } = buffer;
        let panels = (x.len() / inputs).div_ceil(ROWS);
        values.resize(panels * inputs * ROWS, 0);
        scales.resize(panels * (inputs / GROUP) * ROWS, 0.0);
        let shares = values.par_chunks_mut(inputs * ROWS).zip(scales.par_chunks_mut(inputs / GROUP * ROWS));
        shares.zip(x.par_chunks(inputs * ROWS)).for_each(|((values, scales), x)| {
            widest(
                level,
                #[inline(always)]
                || {
                    let mut narrow = [0i8; GROUP];
                    for (row, x) in x.chunks(inputs).enumerate() {
                        for (group, x) in x.chunks(GROUP).enumerate() {
                            let place = group * ROWS + row;
                            scales[place] = quantize(x, path.largest(), &mut narrow);
                            let values = values[place * GROUP..][..GROUP].iter_mut();
                            let offset = path.offset();
                            values
                                .zip(&narrow)
                                .for_each(|(value, narrow)| *value = narrow.cast_unsigned().wrapping_add(offset));
                        }
                    }
                },
            );
        });
        Self { values, scales }
    }

    /// Some groups of the panel that begins with row `first`, a multiple of [`ROWS`].
    pub(super) fn part(&self, first: usize, groups: Range<usize>, inputs: usize) -> Left<'_> {
        let start = first * (inputs / GROUP);
        let place = start + groups.start * ROWS..start + groups.end * ROWS;
        Left { values: &self.values[place.start * GROUP..place.end * GROUP], scales: &self.scales[place] }
    }
}

/// One group, to magnitudes of at most `steps`: rounds to the nearest step, halves to even, and yields the step's size; 0 if all
/// values are. A value that is not finite makes the step so, and with it every product.
#[inline(always)]
fn quantize(wide: &[f32], steps: f32, narrow: &mut [i8; GROUP]) -> f32 {
    /// Adding 1.5·2²³ rounds to the nearest integer in the mantissa's low bits.
    const MAGIC: f32 = 12_582_912.0;
    // Magnitudes are in the order of their bits, and what is not finite is above all others: a maximum of integers, which has no order.
    let largest = f32::from_bits(wide.iter().map(|value| value.to_bits() & 0x7fff_ffff).fold(0, u32::max));
    let inverse = if largest > 0.0 { steps / largest } else { 0.0 };
    for (narrow, value) in narrow.iter_mut().zip(wide) {
        *narrow = ((value * inverse + MAGIC).to_bits() & 0xff) as u8 as i8;
    }
    largest / steps + largest * 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_within_half_a_step() {
        let wide: Vec<f32> = (0..GROUP).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.013).collect();
        let mut narrow = [0i8; GROUP];
        let step = quantize(&wide, LARGEST, &mut narrow);
        for (wide, narrow) in wide.iter().zip(narrow) {
            assert!((wide - f32::from(narrow) * step).abs() <= step * 0.5001, "{wide} {narrow}");
        }
        assert_eq!(narrow.iter().map(|value| value.unsigned_abs()).max(), Some(127));
        assert_eq!(quantize(&[0.0; GROUP], LARGEST, &mut narrow), 0.0);
        assert_eq!(narrow, [0; GROUP]);
    }

    #[test]
    fn what_is_not_finite_is_not_hidden() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut wide = [1.0; GROUP];
            wide[77] = odd;
            assert!(!quantize(&wide, LARGEST, &mut [0; GROUP]).is_finite());
        }
    }
}
