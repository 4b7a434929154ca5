//! Normalisation with modulation, and the gated residual: one pass over memory each.
//!
//! Must not know AdaLN.

use super::{ensure, f32_slice, level::widest, math::sum};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape};
use rayon::prelude::*;

/// Normalises the rows of `x [B, T, D]`, then `(1 + scale)` times it `+ shift`, both
/// `[B, T or 1, D]`.
pub(crate) struct NormModulate {
    pub(crate) eps: f32,
    pub(crate) by: Normalize,
}

/// How rows are normalised before they are modulated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Normalize {
    /// By their root mean square.
    Rms,
    /// By their mean and deviation.
    Layer,
    /// Not at all.
    Not,
}

/// `x + y · gate`, `gate [B, T or 1, D]`.
pub(crate) struct GatedResidual;

impl CustomOp3 for NormModulate {
    fn name(&self) -> &'static str {
        "norm-modulate"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let rows = Rows::new(x_layout, scale_layout, "norm-modulate")?;
        ensure(shift_layout.dims() == scale_layout.dims(), "norm-modulate")?;
        let x = f32_slice(x, x_layout)?;
        let (shift, scale) = (f32_slice(shift, shift_layout)?, f32_slice(scale, scale_layout)?);
        let mut out = vec![0f32; x.len()];
        out.par_chunks_mut(rows.width).zip(x.par_chunks(rows.width)).enumerate().for_each(|(row, (out, x))| {
            let (shift, scale) = (rows.of(shift, row), rows.of(scale, row));
            widest(
                #[inline(always)]
                || self.row(out, x, (shift, scale)),
            );
        });
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}

impl NormModulate {
    #[inline(always)]
    fn row(&self, out: &mut [f32], x: &[f32], (shift, scale): (&[f32], &[f32])) {
        let width = x.len() as f32;
        let mean = if self.by == Normalize::Layer { sum(x, |x| x) / width } else { 0.0 };
        let inverse = match self.by {
            Normalize::Not => 1.0,
            _ => 1.0 / (sum(x, |x| (x - mean) * (x - mean)) / width + self.eps).sqrt(),
        };
        for (((out, x), shift), scale) in out.iter_mut().zip(x).zip(shift).zip(scale) {
            *out = (x - mean) * inverse * (1.0 + scale) + shift;
        }
    }
}

impl CustomOp3 for GatedResidual {
    fn name(&self) -> &'static str {
        "gated-residual"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
        gate: &CpuStorage,
        gate_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let rows = Rows::new(x_layout, gate_layout, "gated-residual")?;
        ensure(x_layout.dims() == y_layout.dims(), "gated-residual")?;
        let (x, y, gate) = (f32_slice(x, x_layout)?, f32_slice(y, y_layout)?, f32_slice(gate, gate_layout)?);
        let mut out = vec![0f32; x.len()];
        let inputs = x.par_chunks(rows.width).zip(y.par_chunks(rows.width));
        out.par_chunks_mut(rows.width).zip(inputs).enumerate().for_each(|(row, (out, (x, y)))| {
            let gate = rows.of(gate, row);
            widest(
                #[inline(always)]
                || {
                    for (((out, x), y), gate) in out.iter_mut().zip(x).zip(y).zip(gate) {
                        *out = x + y * gate;
                    }
                },
            );
        });
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}

/// How the rows of a table belong to the rows of a sequence.
struct Rows {
    width: usize,
    tokens: usize,
    shared: bool,
}

impl Rows {
    fn new(x: &Layout, table: &Layout, kernel: &'static str) -> Result<Self> {
        let (batch, tokens, width) = x.shape().dims3()?;
        let (table_batch, table_tokens, table_width) = table.shape().dims3()?;
        let fits = batch == table_batch && width == table_width && (table_tokens == tokens || table_tokens == 1);
        ensure(fits && width > 0, kernel)?;
        Ok(Self { width, tokens, shared: table_tokens != tokens })
    }

    fn of<'a>(&self, table: &'a [f32], row: usize) -> &'a [f32] {
        let row = if self.shared { row / self.tokens } else { row };
        &table[row * self.width..(row + 1) * self.width]
    }
}
