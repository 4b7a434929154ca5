//! A linear layer; the bias is added while sums leave the cache.
//!
//! Must not know what is projected.

use super::{
    ensure, f32_slice,
    gemm::{Finish, OnDemand, Out, Product, Strided, as_is},
    level::Level,
};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape};

/// `x Wᵀ + b` with `x [rows, inputs]`, `W [outputs, inputs]`, `b [outputs]`; without `b` as a [`CustomOp2`].
pub(crate) struct Linear;

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let bias = f32_slice(bias, bias_layout)?;
        forward((x, x_layout), (weight, weight_layout), Some(bias))
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        forward((x, x_layout), (weight, weight_layout), None)
    }
}

fn forward(
    (x, x_layout): (&CpuStorage, &Layout),
    (weight, weight_layout): (&CpuStorage, &Layout),
    bias: Option<&[f32]>,
) -> Result<(CpuStorage, Shape)> {
    let (rows, inputs) = x_layout.shape().dims2()?;
    let (outputs, weight_inputs) = weight_layout.shape().dims2()?;
    ensure(inputs == weight_inputs && bias.is_none_or(|bias| bias.len() == outputs), "linear")?;
    let mut out = vec![0f32; rows * outputs];
    let left = Strided::rows(f32_slice(x, x_layout)?, inputs);
    let right = OnDemand { matrix: Strided::columns(f32_slice(weight, weight_layout)?, inputs), n: outputs };
    let with_bias = |bias: &[f32], (_, column): (usize, usize), sums: &[f32], out: &mut [f32]| {
        let values = sums.iter().zip(&bias[column..]);
        out.iter_mut().zip(values).for_each(|(out, (sum, bias))| *out = sum + bias);
    };
    let biased =
        bias.map(|bias| move |at: (usize, usize), sums: &[f32], out: &mut [f32]| with_bias(bias, at, sums, out));
    let finish: Finish<'_> = match &biased {
        Some(biased) => biased,
        None => &as_is,
    };
    let product = Product { level: Level::current(), left, right: &right, finish, parallel: true };
    product.write((rows, outputs, inputs), Out { data: &mut out, row_stride: outputs })?;
    Ok((CpuStorage::F32(out), Shape::from((rows, outputs))))
}
