//! AdaLN-single: a timestep becomes shifts, scales and gates for every block.
//! Source: Chen et al., “PixArt-α” (2023), section 2.3.
//!
//! Must not know which rows mean what; the block does.

use crate::timestep_embedding::TimestepEmbedder;
use candle_core::Tensor;
use ltx_nn::{Compute, Linear, Result, Vb};

/// Timestep embedder and the linear layer behind it.
pub(super) struct AdaLnSingle {
    embedder: TimestepEmbedder,
    linear: Linear,
}

/// Timesteps embedded.
pub(super) struct Embedded {
    /// `[values, rows · dim]`.
    pub(super) rows: Tensor,
    /// The embedded timestep itself, `[values, dim]`.
    pub(super) embedded: Tensor,
}

impl AdaLnSingle {
    pub(super) fn load(vb: &Vb, dim: usize, rows: usize) -> Result<Self> {
        Ok(Self {
            embedder: TimestepEmbedder::load(&vb.pp("emb").pp("timestep_embedder"), dim)?,
            linear: Linear::load(&vb.pp("linear"), dim, rows * dim)?,
        })
    }

    /// From timesteps already scaled (0..1000).
    pub(super) fn forward(&self, timesteps: &[f32], compute: &Compute) -> Result<Embedded> {
        let embedded = self.embedder.forward(timesteps, compute)?;
        Ok(Embedded { rows: self.linear.forward(&embedded.silu()?)?, embedded })
    }
}
