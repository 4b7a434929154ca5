//! How a decoder is told that its latent is not quite clean: an embedded timestep plus a table is shift and scale between the
//! pixel norms and their SiLUs. Source: Lightricks/LTX-Video, `causal_video_autoencoder.py`.
//!
//! Must not know how much noise there is.

use crate::timestep_embedding::TimestepEmbedder;
use candle_core::{DType, Tensor};
use ltx_nn::{Compute, Result, Vb};

/// The embedder of a run of blocks; its rows are as wide as the blocks.
pub(super) struct RowEmbedder {
    embedder: TimestepEmbedder,
    rows: usize,
    channels: usize,
    compute: Compute,
}

impl RowEmbedder {
    /// Reads `name.timestep_embedder` for tables of so many rows.
    pub(super) fn load(vb: &Vb, name: &str, rows: usize, channels: usize) -> Result<Self> {
        let vb = vb.exact();
        let embedder = TimestepEmbedder::load(&vb.pp(name).pp("timestep_embedder"), rows * channels)?;
        Ok(Self { embedder, rows, channels, compute: vb.compute().clone() })
    }

    /// The rows of a timestep, scaled (0..1000), `[rows, channels]`, f32.
    pub(super) fn rows(&self, timestep: f32) -> Result<Tensor> {
        let embedded = self.embedder.forward(&[timestep], &self.compute)?;
        Ok(embedded.reshape((self.rows, self.channels))?.to_dtype(DType::F32)?)
    }
}

/// The table of a layer, `[rows, channels]`, f32.
pub(super) fn table(vb: &Vb, name: &str, rows: usize, channels: usize) -> Result<Tensor> {
    vb.with_dtype(DType::F32).tensor(name, [rows, channels])
}
