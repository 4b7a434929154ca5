//! The projection of text states to the width of the transformer, where it lies in the transformer: two layers, GELU (tanh)
//! between them. Source: Chen et al., “PixArt-α” (2023).
//!
//! Must not know which text encoder the states are of.

use candle_core::Tensor;
use ltx_nn::{Linear, Result, Vb};

/// `caption_projection`.
pub(super) struct CaptionProjection {
    linear_1: Linear,
    linear_2: Linear,
}

impl CaptionProjection {
    pub(super) fn load(vb: &Vb, width: usize, dim: usize) -> Result<Self> {
        Ok(Self {
            linear_1: Linear::load(&vb.pp("linear_1"), width, dim)?,
            linear_2: Linear::load(&vb.pp("linear_2"), dim, dim)?,
        })
    }

    /// # Shapes
    /// `[1, S, width]` → `[1, S, dim]`.
    pub(super) fn forward(&self, states: &Tensor) -> Result<Tensor> {
        self.linear_2.forward(&self.linear_1.gelu(states)?)
    }
}
