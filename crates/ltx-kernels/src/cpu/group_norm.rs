//! Group normalisation of clips whose channels lie side by side, with SiLU in the same pass.
//!
//! Must not know which layer follows.

use super::{Level, level::widest, math::silu};
use crate::KernelError;
use rayon::prelude::*;

/// Positions whose values are summed in f32 before they are added in f64, in order: threads change no bit.
const BLOCK: usize = 64;

/// `(x − mean) / sqrt(variance + eps) · weight + bias` over clips, statistics over all positions and the channels of a group; then
/// SiLU if asked for.
#[derive(Clone, Copy)]
pub struct GroupNorm<'a> {
    /// The instructions to use.
    pub level: Level,
    /// Groups that the channels divide into.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// Whether SiLU follows.
    pub silu: bool,
    /// Multiplies, `[channels]`.
    pub weight: &'a [f32],
    /// Added, `[channels]`.
    pub bias: &'a [f32],
}

impl GroupNorm<'_> {
    /// Writes `batch` normalised clips `[positions, channels]`.
    ///
    /// # Errors
    /// The channels do not divide into the groups, or a length does not fit them.
    pub fn compute(&self, x: &[f32], batch: usize, out: &mut [f32]) -> Result<(), KernelError> {
        let (weight, bias, channels) = (self.weight, self.bias, self.weight.len());
        let fits = self.groups > 0
            && channels > 0
            && channels.is_multiple_of(self.groups)
            && bias.len() == channels
            && batch > 0
            && x.len().is_multiple_of(batch * channels)
            && x.len() == out.len();
        KernelError::ensure(fits && !x.is_empty(), "group-norm")?;
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
                    self.level,
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
        Ok(())
    }

    /// The mean of `term(value, of the channel)` over every group, given to each of its channels. No values of channels are zeros.
    fn means(&self, x: &[f32], channels: usize, term: impl Fn(f32, f32) -> f32 + Sync, of: &[f32]) -> Vec<f32> {
        let zeros = vec![0f32; channels];
        let of = if of.is_empty() { &zeros } else { of };
        let blocks = x.par_chunks(BLOCK * channels).map(|x| {
            let mut sums = vec![0f32; channels];
            widest(
                self.level,
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
