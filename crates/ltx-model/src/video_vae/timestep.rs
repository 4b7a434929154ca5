//! How a decoder is told that its latent is not quite clean: an embedded timestep plus a table is shift and scale between the
//! pixel norms and their SiLUs. Source: Lightricks/LTX-Video, `causal_video_autoencoder.py`.
//!
//! Must not know how much noise there is.

use crate::timestep_embedding::TimestepEmbedder;
use candle_core::{DType, Tensor};
use ltx_nn::{Compute, Result, Vb};
use parking_lot::Mutex;

/// The embedder of a run of blocks; its rows are as wide as the blocks.
pub(super) struct RowEmbedder {
    embedder: TimestepEmbedder,
    rows: usize,
    channels: usize,
    compute: Compute,
    /// The timestep that was embedded last, and its rows: a clip's tiles are all told the same.
    last: Mutex<Option<(f32, Tensor)>>,
}

impl RowEmbedder {
    /// Reads `name.timestep_embedder` for tables of so many rows.
    pub(super) fn load(vb: &Vb, name: &str, rows: usize, channels: usize) -> Result<Self> {
        let vb = vb.exact();
        let embedder = TimestepEmbedder::load(&vb.pp(name).pp("timestep_embedder"), rows * channels)?;
        Ok(Self { embedder, rows, channels, compute: vb.compute().clone(), last: Mutex::default() })
    }

    /// The rows of a timestep, scaled (0..1000), `[rows, channels]`, f32. The same as before is not computed again.
    pub(super) fn rows(&self, timestep: f32) -> Result<Tensor> {
        let mut last = self.last.lock();
        if let Some((_, rows)) = last.as_ref().filter(|(known, _)| known.to_bits() == timestep.to_bits()) {
            return Ok(rows.clone());
        }
        let embedded = self.embedder.forward(&[timestep], &self.compute)?;
        let rows = embedded.reshape((self.rows, self.channels))?.to_dtype(DType::F32)?;
        *last = Some((timestep, rows.clone()));
        Ok(rows)
    }
}

/// The table of a layer, `[rows, channels]`, f32.
pub(super) fn table(vb: &Vb, name: &str, rows: usize, channels: usize) -> Result<Tensor> {
    vb.with_dtype(DType::F32).tensor(name, [rows, channels])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_of_a_clip_share_one_embedding() {
        let vb = ltx_testkit::vb("../ltxv-tiny/vae/diffusion_pytorch_model.safetensors").pp("vae").pp("decoder");
        let embedder = RowEmbedder::load(&vb, "last_time_embedder", 2, 4).unwrap();
        let first = embedder.rows(50.0).unwrap();
        assert_eq!(embedder.rows(50.0).unwrap().id(), first.id(), "it was embedded anew");
        let values = |rows: &Tensor| rows.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let other = embedder.rows(60.0).unwrap();
        assert_ne!(values(&other), values(&first));
        assert_eq!(values(&embedder.rows(50.0).unwrap()), values(&first));
    }
}
