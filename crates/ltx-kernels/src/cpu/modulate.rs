//! Normalisation with modulation, and the gated residual: one pass over memory each.
//!
//! Must not know AdaLN.

use super::{Level, level::widest, math::sum};
use crate::{KernelError, Normalize, ShiftScale};
use rayon::prelude::*;

/// Rows of a modulation, `[values, count, width]`, and which value each token of a sequence has.
#[derive(Clone, Copy)]
pub struct ModulationTable<'a> {
    /// All rows, one behind the other.
    pub values: &'a [f32],
    /// Rows of one value.
    pub count: usize,
    /// Length of a row.
    pub width: usize,
    /// The value of each token of a sample; without it all tokens have the first.
    pub index: Option<&'a [u32]>,
}

impl<'a> ModulationTable<'a> {
    /// Row `row` of a token, which is counted over all samples of `tokens` tokens.
    fn row(&self, token: usize, tokens: usize, row: usize) -> &'a [f32] {
        let value = self.index.map_or(0, |index| index[token % tokens] as usize);
        &self.values[(value * self.count + row) * self.width..][..self.width]
    }

    /// Fails unless sequences of `tokens` tokens, `len` values in all, have rows here.
    fn ensure(&self, len: usize, tokens: usize) -> Result<(), KernelError> {
        let fits = self.width > 0
            && tokens > 0
            && len.is_multiple_of(tokens * self.width)
            && self.index.is_none_or(|index| index.len() == tokens);
        KernelError::ensure(fits, "modulation")
    }
}

/// `normalize(x) · (1 + scale) + shift`, by rows of a modulation.
#[derive(Clone, Copy)]
pub struct NormModulate<'a> {
    /// The instructions to use.
    pub level: Level,
    /// Added to the mean square.
    pub eps: f32,
    /// What comes before the modulation.
    pub normalize: Normalize,
    /// Where shift and scale lie.
    pub by: ModulationTable<'a>,
    /// Which rows of it they are.
    pub rows: ShiftScale,
}

/// `x + y · gate`, by a row of a modulation.
#[derive(Clone, Copy)]
pub struct GatedResidual<'a> {
    /// The instructions to use.
    pub level: Level,
    /// Where the gate lies.
    pub by: ModulationTable<'a>,
    /// Which row of it it is.
    pub gate: usize,
}

impl NormModulate<'_> {
    /// Writes `x [B, tokens, D]`, modulated.
    ///
    /// # Errors
    /// The sizes do not fit the modulation.
    pub fn compute(&self, x: &[f32], tokens: usize, out: &mut [f32]) -> Result<(), KernelError> {
        self.by.ensure(x.len(), tokens)?;
        KernelError::ensure(x.len() == out.len(), "norm-modulate")?;
        let width = self.by.width;
        out.par_chunks_mut(width).zip(x.par_chunks(width)).enumerate().for_each(|(token, (out, x))| {
            let row = |row| self.by.row(token, tokens, row);
            let (shift, scale) = (row(self.rows.shift), row(self.rows.scale));
            widest(
                self.level,
                #[inline(always)]
                || self.row(out, x, shift, scale),
            );
        });
        Ok(())
    }

    #[inline(always)]
    fn row(&self, out: &mut [f32], x: &[f32], shift: &[f32], scale: &[f32]) {
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

impl GatedResidual<'_> {
    /// Writes the sum of `x` and gated `y`, both `[B, tokens, D]`.
    ///
    /// # Errors
    /// The sizes do not fit the modulation or each other.
    pub fn compute(&self, x: &[f32], y: &[f32], tokens: usize, out: &mut [f32]) -> Result<(), KernelError> {
        self.by.ensure(x.len(), tokens)?;
        KernelError::ensure(x.len() == y.len() && x.len() == out.len(), "gated-residual")?;
        let width = self.by.width;
        let inputs = x.par_chunks(width).zip(y.par_chunks(width));
        out.par_chunks_mut(width).zip(inputs).enumerate().for_each(|(token, (out, (x, y)))| {
            let gate = self.by.row(token, tokens, self.gate);
            widest(
                self.level,
                #[inline(always)]
                || {
                    for (((out, x), y), gate) in out.iter_mut().zip(x).zip(y).zip(gate) {
                        *out = x + y * gate;
                    }
                },
            );
        });
        Ok(())
    }
}
