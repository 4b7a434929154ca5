//! RMS normalisation of rows with a learned weight, and the gate of an attention's heads.
//!
//! Must not know whose weights they are.

use super::{
    ensure, f32_slice,
    level::widest,
    math::{sigmoid, sum},
};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape};
use rayon::prelude::*;

/// `x / sqrt(mean(x²) + eps) · weight` over the last dimension of `x [.., D]`, `weight [D]`.
pub(crate) struct RmsNorm {
    pub(crate) eps: f32,
}

/// `x · 2σ(logits)` per head: `x [.., heads · head_dim]`, `logits [.., heads]`.
pub(crate) struct Gate;

/// Values that one piece of work takes, about.
const PIECE: usize = 1 << 14;

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (f32_slice(x, x_layout)?, f32_slice(weight, weight_layout)?);
        let width = weight.len();
        ensure(width > 0 && x_layout.dims().last() == Some(&width), "rms-norm")?;
        let mut out = vec![0f32; x.len()];
        let piece = (PIECE / width).max(1) * width;
        out.par_chunks_mut(piece).zip(x.par_chunks(piece)).for_each(|(out, x)| {
            widest(
                #[inline(always)]
                || {
                    for (out, x) in out.chunks_mut(width).zip(x.chunks(width)) {
                        let inverse = 1.0 / (sum(x, |x| x * x) / width as f32 + self.eps).sqrt();
                        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                            *out = x * inverse * weight;
                        }
                    }
                },
            );
        });
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}

impl CustomOp2 for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        logits: &CpuStorage,
        logits_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, logits) = (f32_slice(x, x_layout)?, f32_slice(logits, logits_layout)?);
        ensure(!logits.is_empty() && x.len().is_multiple_of(logits.len()), "gate")?;
        let width = x.len() / logits.len();
        let mut out = vec![0f32; x.len()];
        let heads = (PIECE / width.max(1)).max(1);
        let inputs = x.par_chunks(heads * width).zip(logits.par_chunks(heads));
        out.par_chunks_mut(heads * width).zip(inputs).for_each(|(out, (x, logits))| {
            widest(
                #[inline(always)]
                || {
                    for ((out, x), logit) in out.chunks_mut(width).zip(x.chunks(width)).zip(logits) {
                        let gate = 2.0 * sigmoid(*logit);
                        for (out, x) in out.iter_mut().zip(x) {
                            *out = x * gate;
                        }
                    }
                },
            );
        });
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}
