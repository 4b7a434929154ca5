//! Timesteps per token. Few distinct values occur (clean, noisy, and one per image strength), so whatever depends on a
//! timestep is computed once per value, and tokens name theirs.
//!
//! Must not know the denoise mask they come from.

use candle_core::{Device, Tensor};
use ltx_nn::{Modulation, Result, TokenIndex};

/// The distinct timesteps of a sequence, and which token has which.
#[derive(Debug, Clone)]
pub struct TokenTimesteps {
    values: Vec<f32>,
    index: Option<TokenIndex>,
}

impl TokenTimesteps {
    /// From one timestep, 0..1, per token.
    ///
    /// # Errors
    /// A tensor operation failed.
    pub fn new(per_token: &[f32], device: &Device) -> Result<Self> {
        let mut values: Vec<f32> = Vec::new();
        let mut index = Vec::with_capacity(per_token.len());
        for timestep in per_token {
            let known = values.iter().position(|value| value.to_bits() == timestep.to_bits());
            index.push(known.unwrap_or(values.len()) as u32);
            if known.is_none() {
                values.push(*timestep);
            }
        }
        let index = match values.len() {
            0 | 1 => None,
            _ => Some(TokenIndex::new(index, device)?),
        };
        Ok(Self { values, index })
    }

    /// The distinct values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The modulation of every token, from `rows [values, rows, D]`.
    ///
    /// # Errors
    /// The rows are of fewer values.
    pub(super) fn modulation(&self, rows: &Tensor) -> Result<Modulation> {
        Modulation::new(rows, self.index.clone())
    }

    /// Spreads what was computed per value over the tokens.
    ///
    /// # Shapes
    /// `[values, D]` → `[1, tokens, D]`, or `[1, 1, D]` (to be broadcast) where all tokens share one value.
    ///
    /// # Errors
    /// A tensor operation failed.
    pub fn spread(&self, per_value: &Tensor) -> Result<Tensor> {
        let per_token = match &self.index {
            Some(index) => index.spread(per_value)?,
            None => per_value.clone(),
        };
        Ok(per_token.unsqueeze(0)?)
    }
}
