//! GELU in its tanh form.
//!
//! Must not know the perceptron around it.

use super::{f32_slice, level::widest, math::sigmoid};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape};
use rayon::prelude::*;

/// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`, written as `x · σ(2 …)`, which is the same.
pub(crate) struct Gelu;

/// `2 √(2/π)`.
const SCALE: f32 = 1.595_769;
const CUBIC: f32 = 0.044_715;
const CHUNK: usize = 1 << 14;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = f32_slice(storage, layout)?;
        let mut out = vec![0f32; x.len()];
        out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(out, x)| {
            widest(
                #[inline(always)]
                || {
                    for (out, x) in out.iter_mut().zip(x) {
                        *out = x * sigmoid(SCALE * (x + CUBIC * x * x * x));
                    }
                },
            );
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}
