//! RMS normalisation of rows with a learned weight, and the gate of an attention's heads.
//!
//! Must not know whose weights they are.

use super::{
    Level,
    level::widest,
    math::{sigmoid, sum},
};
use crate::KernelError;
use rayon::prelude::*;

/// `x / sqrt(mean(x²) + eps) · weight` over rows `x [.., D]`.
#[derive(Clone, Copy)]
pub struct RmsNorm<'a> {
    /// The instructions to use.
    pub level: Level,
    /// Added to the mean square.
    pub eps: f32,
    /// Length of a row.
    pub width: usize,
    /// Multiplies the normalised rows, `[D]`; without it they stay as they are.
    pub weight: Option<&'a [f32]>,
}

/// Values that one piece of work takes, about.
const PIECE: usize = 1 << 14;

impl RmsNorm<'_> {
    /// Writes the normalised rows of `x [.., D]`.
    ///
    /// # Errors
    /// `x` is not whole rows, or `out` not as long.
    pub fn compute(&self, x: &[f32], out: &mut [f32]) -> Result<(), KernelError> {
        let width = self.width;
        let fits = width > 0
            && x.len().is_multiple_of(width)
            && x.len() == out.len()
            && self.weight.is_none_or(|weight| weight.len() == width);
        KernelError::ensure(fits, "rms-norm")?;
        let piece = (PIECE / width).max(1) * width;
        out.par_chunks_mut(piece).zip(x.par_chunks(piece)).for_each(|(out, x)| {
            widest(
                self.level,
                #[inline(always)]
                || {
                    for (out, x) in out.chunks_mut(width).zip(x.chunks(width)) {
                        let inverse = 1.0 / (sum(x, |x| x * x) / width as f32 + self.eps).sqrt();
                        match self.weight {
                            Some(weight) => {
                                for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                                    *out = x * inverse * weight;
                                }
                            }
                            None => out.iter_mut().zip(x).for_each(|(out, x)| *out = x * inverse),
                        }
                    }
                },
            );
        });
        Ok(())
    }
}

/// `x · 2σ(logits)` per head: `x` and `out` `[.., heads · head_dim]`, `logits [.., heads]`.
///
/// # Errors
/// The logits do not divide `x`, or `out` has another length.
pub fn gate_heads(level: Level, x: &[f32], logits: &[f32], out: &mut [f32]) -> Result<(), KernelError> {
    let fits = !logits.is_empty() && x.len().is_multiple_of(logits.len()) && x.len() == out.len();
    KernelError::ensure(fits, "gate")?;
    let width = x.len() / logits.len();
    let heads = (PIECE / width.max(1)).max(1);
    let inputs = x.par_chunks(heads * width).zip(logits.par_chunks(heads));
    out.par_chunks_mut(heads * width).zip(inputs).for_each(|(out, (x, logits))| {
        widest(
            level,
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
    Ok(())
}
