//! The two-layer perceptron of an LTX block: `net.0.proj`, GELU (tanh), `net.2`.
//!
//! Must not know the modulation around it.

use crate::{Linear, Result, Vb};
use candle_core::Tensor;

/// Feed-forward with an inner width of four times the outer one.
#[derive(Debug, Clone)]
pub struct FeedForward {
    inner: Linear,
    outer: Linear,
}

impl FeedForward {
    /// Reads `net.0.proj` and `net.2`.
    ///
    /// # Errors
    /// As [`crate::Weights::tensor`].
    pub fn load(vb: &Vb, dim: usize, bias: bool) -> Result<Self> {
        let vb = vb.pp("net");
        Ok(Self {
            inner: Linear::load_with(&vb.pp("0").pp("proj"), dim, 4 * dim, bias)?,
            outer: Linear::load_with(&vb.pp("2"), 4 * dim, dim, bias)?,
        })
    }

    /// # Shapes
    /// `[B, T, dim]` → the same.
    ///
    /// # Errors
    /// A tensor operation failed.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.outer.forward(&self.inner.gelu(x)?)
    }
}
