//! Timesteps per token. Few distinct values occur (clean, noisy, and one per image strength), so whatever depends on a
//! timestep is computed once per value and gathered per token.
//!
//! Must not know the denoise mask they come from.

use candle_core::{Device, Tensor};
use ltx_nn::Result;

/// The distinct timesteps of a sequence, and which token has which.
#[derive(Debug, Clone)]
pub struct TokenTimesteps {
    values: Vec<f32>,
    index: Option<Tensor>,
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
            _ => Some(Tensor::from_vec(index, per_token.len(), device)?),
        };
        Ok(Self { values, index })
    }

    /// The distinct values.
    pub fn values(&self) -> &[f32] {
        &self.values
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
            Some(index) => per_value.contiguous()?.index_select(index, 0)?,
            None => per_value.clone(),
        };
        Ok(per_token.unsqueeze(0)?)
    }
}
