//! GELU in its tanh form.
//!
//! Must not know the perceptron around it.

use super::{f32_slice, level::widest, math::gelu};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape};
use rayon::prelude::*;

/// GELU of every value.
pub(crate) struct Gelu;

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
                        *out = gelu(*x);
                    }
                },
            );
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}
