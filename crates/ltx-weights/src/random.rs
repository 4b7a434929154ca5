//! Weights of the right shapes and random values, drawn on the device: for measurements at sizes whose weights are not here.
//!
//! Must not know which model loads from them. Nothing is read but headers.

use crate::{TensorSet, sources::look_up};
use candle_core::Tensor;
use ltx_nn::{Compute, Weights};
use std::sync::Arc;

/// Over the headers of a set of files. Matrices are scaled so that a unit input gives an output of about one, weights of norms
/// are about 1, everything else is small.
pub struct RandomWeights(pub Arc<TensorSet>);

impl Weights for RandomWeights {
    fn tensor(&self, key: &str, shape: &[usize], compute: &Compute) -> ltx_nn::Result<Tensor> {
        look_up(&self.0, key, shape)?;
        draw(key, shape, compute)
    }

    fn rows(&self, key: &str, shape: [usize; 2], rows: &[u32], compute: &Compute) -> ltx_nn::Result<Tensor> {
        look_up(&self.0, key, &shape)?;
        draw(key, &[rows.len(), shape[1]], compute)
    }

    fn check(&self, key: &str, shape: &[usize]) -> ltx_nn::Result<()> {
        look_up(&self.0, key, shape).map(|_| ())
    }
}

fn draw(key: &str, shape: &[usize], compute: &Compute) -> ltx_nn::Result<Tensor> {
    let inputs: usize = shape.iter().skip(1).product();
    let (mean, deviation) = match shape.len() {
        1 if key.ends_with("norm.weight") || key.ends_with("std-of-means") => (1f32, 0.05),
        1 => (0f32, 0.02),
        _ => (0f32, 1.0 / (inputs.max(1) as f32).sqrt()),
    };
    Ok(Tensor::randn(mean, deviation, shape, &compute.device)?.to_dtype(compute.dtype)?)
}
