//! A linear layer: the bias is laid down first, and the product is added to it.
//!
//! Must not know what is projected.

use super::{
    ensure, f32_slice,
    matmul::{Mat, MatMut, matmul},
};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape};
use gemm::Parallelism;
use rayon::prelude::*;

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
    if let Some(bias) = bias {
        out.par_chunks_mut(outputs.max(1)).for_each(|row| row.copy_from_slice(bias));
    }
    let x = Mat { data: f32_slice(x, x_layout)?, row_stride: inputs, column_stride: 1 };
    let transposed = Mat { data: f32_slice(weight, weight_layout)?, row_stride: 1, column_stride: inputs };
    let target = MatMut { data: &mut out, row_stride: outputs };
    matmul((rows, outputs, inputs), target, bias.is_some(), (x, transposed), Parallelism::Rayon(0))?;
    Ok((CpuStorage::F32(out), Shape::from((rows, outputs))))
}
