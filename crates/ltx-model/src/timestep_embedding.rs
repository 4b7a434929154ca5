//! A timestep as a vector: a sinusoid of it, and two layers with SiLU between them.
//! Source: Ho et al., “DDPM” (2020), cosines first.
//!
//! Must not know what the vector modulates.

use candle_core::Tensor;
use ltx_nn::{Compute, Linear, Result, Vb};

/// Width of the sinusoid.
const SINUSOID: usize = 256;
/// Longest period of the sinusoid.
const MAX_PERIOD: f32 = 10_000.0;

/// `timestep_embedder`.
pub(crate) struct TimestepEmbedder {
    linear_1: Linear,
    linear_2: Linear,
}

impl TimestepEmbedder {
    pub(crate) fn load(vb: &Vb, dim: usize) -> Result<Self> {
        Self::of_layers([&vb.pp("linear_1"), &vb.pp("linear_2")], dim)
    }

    /// The same of layers that are called otherwise.
    pub(crate) fn of_layers([first, second]: [&Vb; 2], dim: usize) -> Result<Self> {
        Ok(Self { linear_1: Linear::load(first, SINUSOID, dim)?, linear_2: Linear::load(second, dim, dim)? })
    }

    /// From timesteps already scaled (0..1000): `[timesteps, dim]`.
    pub(crate) fn forward(&self, timesteps: &[f32], compute: &Compute) -> Result<Tensor> {
        let sinusoid = sinusoid(timesteps, compute)?;
        self.linear_2.forward(&self.linear_1.forward(&sinusoid)?.silu()?)
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
