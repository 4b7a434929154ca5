//! Pixel norm, with SiLU in the same pass.
//!
//! Must not know which layer follows.

use super::{ensure, f32_slice, level::widest, math::sigmoid};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape};
use rayon::prelude::*;

/// `x / sqrt(mean_c(x²) + eps)` over `[B, C, positions…]`, then SiLU if asked for.
pub(crate) struct PixelNorm {
    pub(crate) eps: f32,
    pub(crate) silu: bool,
}

impl CustomOp1 for PixelNorm {
    fn name(&self) -> &'static str {
        "pixel-norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = f32_slice(storage, layout)?;
        let dims = layout.dims();
        ensure(dims.len() >= 2, "pixel-norm")?;
        let (channels, positions) = (dims[1], dims[2..].iter().product::<usize>());
        let mut out = vec![0f32; x.len()];
        let samples = x.chunks(channels * positions).zip(out.chunks_mut(channels * positions));
        for (x, out) in samples {
            let inverse = self.inverse_rms(x, channels, positions);
            out.par_chunks_mut(positions).zip(x.par_chunks(positions)).for_each(|(out, x)| {
                widest(
                    #[inline(always)]
                    || {
                        for ((out, x), inverse) in out.iter_mut().zip(x).zip(&inverse) {
                            let y = x * inverse;
                            *out = if self.silu { y * sigmoid(y) } else { y };
                        }
                    },
                );
            });
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

impl PixelNorm {
    fn inverse_rms(&self, x: &[f32], channels: usize, positions: usize) -> Vec<f32> {
        const BLOCK: usize = 4096;
        let mut inverse = vec![0f32; positions];
        inverse.par_chunks_mut(BLOCK).enumerate().for_each(|(block, sums)| {
            widest(
                #[inline(always)]
                || {
                    for channel in x.chunks(positions) {
                        for (sum, x) in sums.iter_mut().zip(&channel[block * BLOCK..]) {
                            *sum += x * x;
                        }
                    }
                    for sum in sums {
                        *sum = 1.0 / (*sum / channels as f32 + self.eps).sqrt();
                    }
                },
            );
        });
        inverse
    }
}
