//! A linear layer. Bias and activation are applied while sums leave the cache.
//!
//! Must not know what is projected.

use super::{
    amx::{self, HalfRight, Tiles16},
    ensure, f32_slice,
    gemm::{COLUMNS, Finish, OnDemand, Out, Product, Right, RightPanels, Strided},
    int8::{self, Weights8},
    level::{Level, widest},
    math::gelu,
};
use crate::{Packed, Packing};
use candle_core::{CpuStorage, CustomOp1, Device, Error, Layout, Result, Shape, Storage, Tensor};
use std::sync::Arc;

/// `then(x Wᵀ + b)` with `x [rows, inputs]`, `b [outputs]`.
pub(crate) struct Linear {
    pub(crate) weight: Weight,
    pub(crate) outputs: usize,
    pub(crate) bias: Option<Tensor>,
    pub(crate) then: Then,
}

/// A contiguous matrix `W [outputs, inputs]` in f32.
pub(crate) enum Weight {
    /// As it is.
    Rows(Tensor),
    /// In panels, from [`panels`].
    Panels(Tensor),
    /// In bf16, in tiles.
    Tiles(Arc<Tiles16>),
    /// In 8 bits, the activations too.
    EightBit(Arc<Weights8>),
    /// Packed; panels are decoded when they are multiplied.
    Packed(Packed),
}

/// What happens to the sums.
#[derive(Clone)]
pub(crate) enum Then {
    /// Nothing.
    Nothing,
    /// GELU in its tanh form.
    Gelu,
    /// The same, times this: `[rows, outputs]`.
    GeluTimes(Tensor),
}

/// `[outputs, inputs]` as panels of outputs, `[⌈outputs / COLUMNS⌉, inputs, COLUMNS]`; outputs past the last are 0.
pub(crate) fn panels(weight: &Tensor) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let packed = with_values(Some(weight), |values| {
        Ok(RightPanels::pack(&Strided::columns(values, inputs), (inputs, outputs)))
    })?;
    Tensor::from_vec(packed.into_data(), (outputs.div_ceil(COLUMNS), inputs, COLUMNS), &Device::Cpu)
}

/// The same of a right matrix `[inputs, outputs]` whose panels are made on demand.
pub(crate) fn panels_of(right: &impl Right, (outputs, inputs): (usize, usize)) -> Result<Tensor> {
    let packed = RightPanels::made(right, (inputs, outputs));
    Tensor::from_vec(packed.into_data(), (outputs.div_ceil(COLUMNS), inputs, COLUMNS), &Device::Cpu)
}

impl CustomOp1 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    /// # Shapes
    /// `[rows, inputs]` → `[rows, outputs]`.
    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, inputs) = layout.shape().dims2()?;
        let (outputs, x) = (self.outputs, f32_slice(storage, layout)?);
        let out = match &self.weight {
            Weight::Rows(weight) => {
                ensure(weight.dims() == [outputs, inputs], "linear")?;
                with_values(Some(weight), |weight| {
                    let right = OnDemand { matrix: Strided::columns(weight, inputs), n: outputs };
                    self.product(x, (rows, inputs), &right)
                })
            }
            Weight::Panels(weight) => {
                ensure(weight.dims() == [outputs.div_ceil(COLUMNS), inputs, COLUMNS], "linear")?;
                with_values(Some(weight), |weight| {
                    self.product(x, (rows, inputs), &RightPanels::packed(weight, inputs))
                })
            }
            Weight::EightBit(weight) => {
                ensure(weight.shape() == [outputs, inputs], "linear")?;
                self.finished(rows, |finish, y| {
                    int8::product(x, weight, finish, y);
                    Ok(())
                })
            }
            Weight::Tiles(weight) => {
                ensure(weight.shape() == [outputs, inputs], "linear")?;
                if Level::current() == Level::Amx {
                    self.in_tiles(x, inputs, &**weight)
                } else {
                    self.product(x, (rows, inputs), &**weight)
                }
            }
            Weight::Packed(weight) => {
                ensure(weight.shape() == [outputs, inputs], "linear")?;
                if weight.packing() == Packing::Bf16 && Level::current() == Level::Amx {
                    self.in_tiles(x, inputs, weight)
                } else {
                    self.product(x, (rows, inputs), weight)
                }
            }
        };
        Ok((CpuStorage::F32(out?), Shape::from((rows, outputs))))
    }
}

impl Linear {
    fn product(&self, x: &[f32], (rows, inputs): (usize, usize), right: &impl Right) -> Result<Vec<f32>> {
        self.finished(rows, |finish, y| {
            let left = Strided::rows(x, inputs);
            let product = Product { level: Level::current(), left, right, finish, parallel: true };
            product.write((rows, self.outputs, inputs), Out { data: y, row_stride: self.outputs })
        })
    }

    fn in_tiles(&self, x: &[f32], inputs: usize, right: &impl HalfRight) -> Result<Vec<f32>> {
        self.finished(x.len() / inputs.max(1), |finish, y| {
            amx::product(x, (inputs, self.outputs), right, finish, y);
            Ok(())
        })
    }

    /// What `write` makes, with bias and activation.
    fn finished(&self, rows: usize, write: impl FnOnce(Finish<'_>, &mut [f32]) -> Result<()>) -> Result<Vec<f32>> {
        let outputs = self.outputs;
        let factor = if let Then::GeluTimes(factor) = &self.then { Some(factor) } else { None };
        with_values(self.bias.as_ref(), |bias| {
            with_values(factor, |factor| {
                let sizes = (self.bias.is_none() || bias.len() == outputs)
                    && (!matches!(self.then, Then::GeluTimes(_)) || factor.len() == rows * outputs);
                ensure(sizes, "linear")?;
                let mut y = vec![0f32; rows * outputs];
                let finish = |(row, column): (usize, usize), sums: &[f32], out: &mut [f32]| {
                    widest(
                        #[inline(always)]
                        || {
                            match bias.get(column..column + out.len()) {
                                Some(bias) => {
                                    let sums = sums.iter().zip(bias);
                                    out.iter_mut().zip(sums).for_each(|(out, (sum, bias))| *out = sum + bias);
                                }
                                None => out.copy_from_slice(sums),
                            }
                            match self.then {
                                Then::Nothing => {}
                                Then::Gelu => out.iter_mut().for_each(|y| *y = gelu(*y)),
                                Then::GeluTimes(_) => {
                                    let factor = &factor[row * outputs + column..];
                                    out.iter_mut().zip(factor).for_each(|(y, factor)| *y = gelu(*y) * factor);
                                }
                            }
                        },
                    );
                };
                write(&finish, &mut y)?;
                Ok(y)
            })
        })
    }
}

/// Runs `work` on the values of a contiguous f32 tensor on the CPU; on none if there is no tensor.
pub(crate) fn with_values<T>(tensor: Option<&Tensor>, work: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let Some(tensor) = tensor else { return work(&[]) };
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => work(f32_slice(storage, layout)?),
        _ => Err(Error::msg("linear: a tensor is not on the CPU")),
    }
}
