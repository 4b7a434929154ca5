//! The CPU's linear layer over tensors.
//!
//! Must not know what is projected.

use super::with_values;
use crate::matrix::Packed;
use candle_core::{CpuStorage, CustomOp1, Device, Error, Layout, Result, Shape, Tensor};
use ltx_kernels::{
    Level,
    cpu::{self, COLUMNS, Tiles16, Weights8},
};
use std::sync::Arc;

/// `then(x Wᵀ + b)` with `x [rows, inputs]`, `b [outputs]`.
pub(crate) struct Linear {
    pub(crate) level: Level,
    pub(crate) weight: Weight,
    pub(crate) outputs: usize,
    pub(crate) bias: Option<Tensor>,
    pub(crate) then: Then,
}

/// A matrix `W [outputs, inputs]` on the CPU; tensors are contiguous and f32.
pub(crate) enum Weight {
    /// Row after row.
    Rows(Tensor),
    /// In panels, from [`panels`].
    Panels(Tensor),
    /// In bf16, in tiles.
    Tiles(Arc<Tiles16>),
    /// In 8 bits, the activations too.
    EightBit(Arc<Weights8>),
    /// Packed; panels are decoded when they are multiplied.
    Packed(Packed),
    /// Packed; panels are decoded and rounded to 8 bits when they are multiplied, the activations too.
    PackedEightBit(Packed),
}

/// What happens to the sums.
#[derive(Clone)]
pub(crate) enum Then {
    /// Nothing.
    Nothing,
    /// GELU in its tanh form.
    Gelu,
    /// GELU in its tanh form, times a factor `[rows, outputs]`.
    GeluTimes(Tensor),
}

/// A matrix `[outputs, inputs]` as panels of outputs, `[⌈outputs / COLUMNS⌉, inputs, COLUMNS]`; outputs past the last are 0.
pub(crate) fn panels(level: Level, weight: &Tensor) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let packed = with_values([weight], |[values]| Ok::<_, Error>(cpu::panels(level, values, [outputs, inputs])?));
    panel_tensor(packed?, [outputs, inputs])
}

/// The tensor of panels that a matrix `[outputs, inputs]` was laid out in.
pub(crate) fn panel_tensor(panels: Vec<f32>, [outputs, inputs]: [usize; 2]) -> Result<Tensor> {
    Tensor::from_vec(panels, (outputs.div_ceil(COLUMNS), inputs, COLUMNS), &Device::Cpu)
}

/// Lends the values of a tensor, if there is one.
fn with_optional<T>(tensor: Option<&Tensor>, work: impl FnOnce(Option<&[f32]>) -> Result<T>) -> Result<T> {
    match tensor {
        Some(tensor) => with_values([tensor], |[values]| work(Some(values))),
        None => work(None),
    }
}

impl Weight {
    /// Lends the matrix to a kernel.
    fn with<T>(&self, level: Level, work: impl FnOnce(cpu::Weight<'_>) -> Result<T>) -> Result<T> {
        match self {
            Self::Rows(weight) => with_values([weight], |[weight]| work(cpu::Weight::Rows(weight))),
            Self::Panels(weight) => with_values([weight], |[weight]| work(cpu::Weight::Panels(weight))),
            Self::Tiles(weight) => work(cpu::Weight::Tiles(weight)),
            Self::EightBit(weight) => work(cpu::Weight::EightBit(weight)),
            Self::Packed(weight) => work(cpu::Weight::Packed(weight.rows(level)?)),
            Self::PackedEightBit(weight) => work(cpu::Weight::PackedEightBit(weight.rows(level)?)),
        }
    }
}

impl CustomOp1 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    /// # Shapes
    /// `[rows, inputs]` → `[rows, outputs]`.
    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (level, outputs) = (self.level, self.outputs);
        let (rows, inputs) = layout.shape().dims2()?;
        let (start, end) = layout.contiguous_offsets().ok_or_else(|| Error::msg("kernel input is not contiguous"))?;
        let x = &storage.as_slice::<f32>()?[start..end];
        let factor = if let Then::GeluTimes(factor) = &self.then { Some(factor) } else { None };
        let mut y = vec![0f32; rows * outputs];
        with_optional(self.bias.as_ref(), |bias| {
            with_optional(factor, |factor| {
                self.weight.with(level, |weight| {
                    let then = match &self.then {
                        Then::Nothing => cpu::Then::Nothing,
                        Then::Gelu => cpu::Then::Gelu,
                        Then::GeluTimes(_) => cpu::Then::GeluTimes(factor.unwrap_or_default()),
                    };
                    let op = cpu::Linear { level, weight, inputs, outputs, bias, then };
                    Ok(op.compute(x, rows, &mut y)?)
                })
            })
        })?;
        Ok((CpuStorage::F32(y), Shape::from((rows, outputs))))
    }
}
