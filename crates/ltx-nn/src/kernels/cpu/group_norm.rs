//! Group normalisation of clips whose channels lie side by side, with SiLU in the same pass.
//!
//! Must not know which layer follows.

use super::{ensure, f32_slice, level::widest, math::silu};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape};
use rayon::prelude::*;

/// Positions whose values are summed in f32 before they are added in f64, in order: threads change no bit.
const BLOCK: usize = 64;

/// `(x − mean) / sqrt(variance + eps) · weight + bias` over `[B, F, H, W, C]`, statistics over all positions and the channels of
/// a group; then SiLU if asked for.
pub(crate) struct GroupNorm {
    pub(crate) groups: usize,
    pub(crate) eps: f64,
    pub(crate) silu: bool,
}

impl CustomOp3 for GroupNorm {
    fn name(&self) -> &'static str {
        "group-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, _, _, _, channels) = layout.shape().dims5()?;
        let x = f32_slice(x, layout)?;
        let (weight, bias) = (f32_slice(weight, weight_layout)?, f32_slice(bias, bias_layout)?);
        let fits = self.groups > 0 && channels % self.groups == 0 && weight.len() == channels && bias.len() == channels;
        ensure(fits && !x.is_empty(), "group-norm")?;
        let mut out = vec![0f32; x.len()];
        let size = x.len() / batch;
        for (x, out) in x.chunks(size).zip(out.chunks_mut(size)) {
            let means = self.means(x, channels, |value, _| value, &[]);
            let variances = self.means(x, channels, |value, mean| (value - mean) * (value - mean), &means);
            let scale: Vec<f32> = variances
                .iter()
                .zip(weight)
                .map(|(v, w)| (f64::from(*w) / (f64::from(*v) + self.eps).sqrt()) as f32)
                .collect();
            let shifts = means.iter().zip(&scale).zip(bias);
            let shift: Vec<f32> = shifts.map(|((mean, scale), bias)| bias - mean * scale).collect();
            let blocks = out.par_chunks_mut(BLOCK * channels).zip(x.par_chunks(BLOCK * channels));
            blocks.for_each(|(out, x)| {
                widest(
                    #[inline(always)]
                    || {
                        for (out, x) in out.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                            for (((out, x), scale), shift) in out.iter_mut().zip(x).zip(&scale).zip(&shift) {
                                let y = x * scale + shift;
                                *out = if self.silu { silu(y) } else { y };
                            }
                        }
                    },
                );
            });
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

impl GroupNorm {
    /// The mean of `term(value, of the channel)` over every group, given to each of its channels. No values of channels are zeros.
    fn means(&self, x: &[f32], channels: usize, term: impl Fn(f32, f32) -> f32 + Sync, of: &[f32]) -> Vec<f32> {
        let zeros = vec![0f32; channels];
        let of = if of.is_empty() { &zeros } else { of };
        let blocks = x.par_chunks(BLOCK * channels).map(|x| {
            let mut sums = vec![0f32; channels];
            widest(
                #[inline(always)]
                || {
                    for x in x.chunks_exact(channels) {
                        sums.iter_mut().zip(x).zip(of).for_each(|((sum, x), of)| *sum += term(*x, *of));
                    }
                },
            );
            sums
        });
        let mut sums = vec![0f64; channels];
        for block in blocks.collect::<Vec<_>>() {
            sums.iter_mut().zip(block).for_each(|(sum, block)| *sum += f64::from(block));
        }
        let width = channels / self.groups;
        let count = (x.len() / self.groups) as f64;
        let group = |group: &[f64]| (group.iter().sum::<f64>() / count) as f32;
        sums.chunks(width).flat_map(|sums| std::iter::repeat_n(group(sums), width)).collect()
    }
}
