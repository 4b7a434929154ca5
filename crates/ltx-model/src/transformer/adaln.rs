//! AdaLN-single: a timestep becomes shifts, scales and gates for every block.
//! Source: Chen et al., “PixArt-α” (2023), section 2.3; sinusoid of Ho et al., “DDPM” (2020), cosines first.
//!
//! Must not know which rows mean what; the block does.

use candle_core::Tensor;
use ltx_nn::{Compute, Linear, Result, Vb};

/// Width of the sinusoidal embedding.
const SINUSOID: usize = 256;
/// Longest period of the sinusoid.
const MAX_PERIOD: f32 = 10_000.0;

/// Timestep embedder and the linear layer behind it.
pub(super) struct AdaLnSingle {
    linear_1: Linear,
    linear_2: Linear,
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
        let embedder = vb.pp("emb").pp("timestep_embedder");
        Ok(Self {
            linear_1: Linear::load(&embedder.pp("linear_1"), SINUSOID, dim)?,
            linear_2: Linear::load(&embedder.pp("linear_2"), dim, dim)?,
            linear: Linear::load(&vb.pp("linear"), dim, rows * dim)?,
        })
    }

    /// From timesteps already scaled (0..1000).
    pub(super) fn forward(&self, timesteps: &[f32], compute: &Compute) -> Result<Embedded> {
        let sinusoid = sinusoid(timesteps, compute)?;
        let embedded = self.linear_2.forward(&self.linear_1.forward(&sinusoid)?.silu()?)?;
        Ok(Embedded { rows: self.linear.forward(&embedded.silu()?)?, embedded })
    }
}

fn sinusoid(timesteps: &[f32], compute: &Compute) -> Result<Tensor> {
    const HALF: usize = SINUSOID / 2;
    let frequencies: Vec<f32> = (0..HALF).map(|i| (-MAX_PERIOD.ln() * i as f32 / HALF as f32).exp()).collect();
    let mut values = Vec::with_capacity(timesteps.len() * SINUSOID);
    for timestep in timesteps {
        values.extend(frequencies.iter().map(|f| (timestep * f).cos()));
        values.extend(frequencies.iter().map(|f| (timestep * f).sin()));
    }
    Ok(Tensor::from_vec(values, (timesteps.len(), SINUSOID), &compute.device)?.to_dtype(compute.dtype)?)
}
