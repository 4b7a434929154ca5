//! Mean and deviation of every latent channel over the training set: the latent the transformer sees is normalised.
//!
//! Must not know who normalises.

use candle_core::{DType, Tensor};
use ltx_nn::{Result, Vb};

/// `vae.per_channel_statistics`.
#[derive(Debug, Clone)]
pub struct LatentStatistics {
    mean: Tensor,
    std: Tensor,
}

impl LatentStatistics {
    /// What its keys begin with.
    pub const MARK: &'static str = "vae.per_channel_statistics.";

    /// Loads from `vb` at `vae`, in f32.
    ///
    /// # Errors
    /// As [`ltx_nn::Weights::tensor`].
    pub fn load(vb: &Vb, channels: usize) -> Result<Self> {
        let vb = vb.pp("per_channel_statistics").with_dtype(DType::F32);
        let read = |name: &str| Ok::<_, ltx_nn::NnError>(vb.tensor(name, [channels])?.reshape((1, channels, 1, 1, 1))?);
        Ok(Self { mean: read("mean-of-means")?, std: read("std-of-means")? })
    }

    /// `(x − mean) / std`.
    ///
    /// # Shapes
    /// `[B, channels, F, H, W]` → the same, f32.
    ///
    /// # Errors
    /// The channels do not fit.
    pub fn normalize(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.to_dtype(DType::F32)?.broadcast_sub(&self.mean)?.broadcast_div(&self.std)?)
    }

    /// `x · std + mean`.
    ///
    /// # Shapes
    /// `[B, channels, F, H, W]` → the same, f32.
    ///
    /// # Errors
    /// The channels do not fit.
    pub fn unnormalize(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.to_dtype(DType::F32)?.broadcast_mul(&self.std)?.broadcast_add(&self.mean)?)
    }
}
