//! Normalisation with modulation, and the gated residual: one pass over memory each.
//!
//! Must not know AdaLN.

use super::{ensure, f32_slice, level::widest, math::sum};
use crate::{Modulation, ShiftScale};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Storage};
use rayon::prelude::*;

/// Normalises the rows of `x [B, T, D]`, then `(1 + scale)` times it `+ shift`.
pub(crate) struct NormModulate<'a> {
    pub(crate) eps: f32,
    pub(crate) normalize: Normalize,
    pub(crate) by: &'a Modulation,
    pub(crate) rows: ShiftScale,
}

/// How rows are normalised before they are modulated; numbers as in `norm.cu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Normalize {
    /// By their root mean square.
    Rms = 0,
    /// By their mean and deviation.
    Layer = 1,
    /// Not at all.
    Not = 2,
}

/// `x + y · gate`, of `x` and `y` `[B, T, D]`.
pub(crate) struct GatedResidual<'a> {
    pub(crate) by: &'a Modulation,
    pub(crate) gate: usize,
}

impl CustomOp1 for NormModulate<'_> {
    fn name(&self) -> &'static str {
        "norm-modulate"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, (_, tokens, width)) = (f32_slice(x, layout)?, layout.shape().dims3()?);
        let mut out = vec![0f32; x.len()];
        with_rows(self.by, (tokens, width), |rows| {
            out.par_chunks_mut(width).zip(x.par_chunks(width)).enumerate().for_each(|(token, (out, x))| {
                let (shift, scale) = (rows.of(token, self.rows.shift), rows.of(token, self.rows.scale));
                widest(
                    #[inline(always)]
                    || self.row(out, x, (shift, scale)),
                );
            });
        })?;
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

impl NormModulate<'_> {
    #[inline(always)]
    fn row(&self, out: &mut [f32], x: &[f32], (shift, scale): (&[f32], &[f32])) {
        let width = x.len() as f32;
        let mean = if self.normalize == Normalize::Layer { sum(x, |x| x) / width } else { 0.0 };
        let inverse = match self.normalize {
            Normalize::Not => 1.0,
            _ => 1.0 / (sum(x, |x| (x - mean) * (x - mean)) / width + self.eps).sqrt(),
        };
        for (((out, x), shift), scale) in out.iter_mut().zip(x).zip(shift).zip(scale) {
            *out = (x - mean) * inverse * (1.0 + scale) + shift;
        }
    }
}

impl CustomOp2 for GatedResidual<'_> {
    fn name(&self) -> &'static str {
        "gated-residual"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        ensure(x_layout.dims() == y_layout.dims(), "gated-residual")?;
        let (x, y, (_, tokens, width)) = (f32_slice(x, x_layout)?, f32_slice(y, y_layout)?, x_layout.shape().dims3()?);
        let mut out = vec![0f32; x.len()];
        with_rows(self.by, (tokens, width), |rows| {
            let inputs = x.par_chunks(width).zip(y.par_chunks(width));
            out.par_chunks_mut(width).zip(inputs).enumerate().for_each(|(token, (out, (x, y)))| {
                let gate = rows.of(token, self.gate);
                widest(
                    #[inline(always)]
                    || {
                        for (((out, x), y), gate) in out.iter_mut().zip(x).zip(y).zip(gate) {
                            *out = x + y * gate;
                        }
                    },
                );
            });
        })?;
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}

/// The rows of a modulation, and which of them a token has.
struct Rows<'a> {
    values: &'a [f32],
    index: Option<&'a [u32]>,
    tokens: usize,
    width: usize,
    /// Rows per value.
    count: usize,
}

impl<'a> Rows<'a> {
    /// A row of a token, counted over all samples.
    fn of(&self, token: usize, row: usize) -> &'a [f32] {
        let value = self.index.map_or(0, |index| index[token % self.tokens] as usize);
        &self.values[(value * self.count + row) * self.width..][..self.width]
    }
}

/// Lends a modulation's rows for sequences of such sizes.
fn with_rows(by: &Modulation, (tokens, width): (usize, usize), work: impl FnOnce(&Rows<'_>)) -> Result<()> {
    let (storage, layout) = by.rows().storage_and_layout();
    let (_, count, own) = layout.shape().dims3()?;
    let index = by.index().map(crate::TokenIndex::numbers);
    ensure(own == width && width > 0 && index.is_none_or(|index| index.len() == tokens), "modulation")?;
    let Storage::Cpu(values) = &*storage else { return ensure(false, "modulation") };
    work(&Rows { values: f32_slice(values, layout)?, index, tokens, width, count });
    Ok(())
}
