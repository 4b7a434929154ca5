//! A linear layer. Bias and activation are applied while sums leave the cache.
//!
//! Must not know what is projected.

use super::{
    amx::{self, HalfRight, Tiles16},
    gemm::{COLUMNS, OnDemand, Out, Product, Right, RightPanels, Strided},
    int8::{self, Weights8},
    level::{Level, widest},
    math::gelu,
    packed::PackedRows,
};
use crate::{KernelError, Packing};

/// `then(x Wᵀ + b)` with `x [rows, inputs]`.
#[derive(Clone, Copy)]
pub struct Linear<'a> {
    /// The instructions to use.
    pub level: Level,
    /// The matrix.
    pub weight: Weight<'a>,
    /// Inputs of the matrix.
    pub inputs: usize,
    /// Outputs of the matrix.
    pub outputs: usize,
    /// Added to every row, `[outputs]`.
    pub bias: Option<&'a [f32]>,
    /// What happens to the sums.
    pub then: Then<'a>,
}

/// A matrix `W [outputs, inputs]`.
#[derive(Clone, Copy)]
pub enum Weight<'a> {
    /// In f32, row after row.
    Rows(&'a [f32]),
    /// In f32 and panels, as [`super::panels`] lays them out.
    Panels(&'a [f32]),
    /// In bf16, in tiles.
    Tiles(&'a Tiles16),
    /// In 8 bits, the activations too.
    EightBit(&'a Weights8),
    /// Packed; panels are decoded when they are multiplied.
    Packed(PackedRows<'a>),
    /// Packed; panels are decoded and rounded to 8 bits when they are multiplied, the activations too.
    PackedEightBit(PackedRows<'a>),
}

/// What happens to the sums.
#[derive(Clone, Copy)]
pub enum Then<'a> {
    /// Nothing.
    Nothing,
    /// GELU in its tanh form.
    Gelu,
    /// GELU in its tanh form, times a factor `[rows, outputs]`.
    GeluTimes(&'a [f32]),
}

impl Weight<'_> {
    fn fits(&self, inputs: usize, outputs: usize) -> bool {
        match self {
            Weight::Rows(weight) => weight.len() == outputs * inputs,
            Weight::Panels(weight) => weight.len() == outputs.div_ceil(COLUMNS) * inputs * COLUMNS,
            Weight::Tiles(weight) => weight.shape() == [outputs, inputs],
            Weight::EightBit(weight) => weight.shape() == [outputs, inputs],
            Weight::Packed(weight) | Weight::PackedEightBit(weight) => weight.shape() == [outputs, inputs],
        }
    }
}

impl Linear<'_> {
    /// Writes `out [rows, outputs]`.
    ///
    /// # Errors
    /// The sizes do not fit each other.
    pub fn compute(&self, x: &[f32], rows: usize, out: &mut [f32]) -> Result<(), KernelError> {
        let Self { level, inputs, outputs, .. } = *self;
        let factor = if let Then::GeluTimes(factor) = self.then { Some(factor) } else { None };
        let fits = x.len() == rows * inputs
            && out.len() == rows * outputs
            && self.bias.is_none_or(|bias| bias.len() == outputs)
            && factor.is_none_or(|factor| factor.len() == rows * outputs);
        KernelError::ensure(fits && self.weight.fits(inputs, outputs), "linear")?;
        match &self.weight {
            Weight::Rows(weight) => {
                let matrix = Strided::columns(weight, inputs);
                self.product(x, rows, &OnDemand { level, matrix, n: outputs }, out)
            }
            Weight::Panels(weight) => self.product(x, rows, &RightPanels::packed(weight, inputs), out),
            Weight::EightBit(weight) => {
                int8::product(level, x, weight, &self.finish(), out);
                Ok(())
            }
            Weight::PackedEightBit(weight) => int8::packed_product(level, x, *weight, &self.finish(), out),
            Weight::Tiles(weight) if level.has_tiles() => self.in_tiles(x, *weight, out),
            Weight::Tiles(weight) => self.product(x, rows, *weight, out),
            Weight::Packed(weight) if weight.packing() == Packing::Bf16 && level.has_tiles() => {
                self.in_tiles(x, weight, out)
            }
            Weight::Packed(weight) => self.product(x, rows, weight, out),
        }
    }

    fn product(&self, x: &[f32], rows: usize, right: &impl Right, out: &mut [f32]) -> Result<(), KernelError> {
        let (left, finish) = (Strided::rows(x, self.inputs), self.finish());
        let product = Product { level: self.level, left, right, finish: &finish, parallel: true };
        product.write((rows, self.outputs, self.inputs), Out { data: out, row_stride: self.outputs })
    }

    fn in_tiles(&self, x: &[f32], right: &impl HalfRight, out: &mut [f32]) -> Result<(), KernelError> {
        amx::product(self.level, x, (self.inputs, self.outputs), right, &self.finish(), out);
        Ok(())
    }

    /// Bias and activation, from sums to output.
    fn finish(&self) -> impl Fn((usize, usize), &[f32], &mut [f32]) + Sync {
        let Self { level, outputs, bias, then, .. } = *self;
        let bias = bias.unwrap_or_default();
        move |(row, column), sums, out| {
            widest(
                level,
                #[inline(always)]
                || {
                    match bias.get(column..column + out.len()) {
                        Some(bias) => {
                            let sums = sums.iter().zip(bias);
                            out.iter_mut().zip(sums).for_each(|(out, (sum, bias))| *out = sum + bias);
                        }
                        None => out.copy_from_slice(sums),
                    }
                    match then {
                        Then::Nothing => {}
                        Then::Gelu => out.iter_mut().for_each(|y| *y = gelu(*y)),
                        Then::GeluTimes(factor) => {
                            let factor = &factor[row * outputs + column..];
                            out.iter_mut().zip(factor).for_each(|(y, factor)| *y = gelu(*y) * factor);
                        }
                    }
                },
            );
        }
    }
}
