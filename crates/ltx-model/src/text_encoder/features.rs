//! Hidden states to features: RMS norm per token and layer, flattened with the layer fastest, projected.
//!
//! Must not know Gemma.

use super::ProjectionConfig;
use crate::part::Module;
use candle_core::Tensor;
use ltx_nn::{KernelChoice, Linear, Result, Vb, rms_norm};
use ltx_types::Part;

const EPS: f64 = 1e-6;

/// `text_embedding_projection.video_aggregate_embed`.
pub struct FeatureProjection {
    linear: Linear,
    rescale: f64,
}

impl Module for FeatureProjection {
    const PART: Part = Part::TextProjection;
    const MARK: &'static str = "text_embedding_projection.video_aggregate_embed.";
    type Config = ProjectionConfig;

    fn load(root: &Vb, config: &ProjectionConfig) -> Result<Self> {
        let ProjectionConfig { hidden, states, outputs } = *config;
        let vb = root.exact().pp("text_embedding_projection").pp("video_aggregate_embed");
        let rescale = (outputs as f64 / hidden as f64).sqrt();
        Ok(Self { linear: Linear::load(&vb, hidden * states, outputs)?, rescale })
    }
}

impl FeatureProjection {
    /// One hidden state, normalised per token; done as soon as a state exists, so that only this form is kept.
    ///
    /// # Shapes
    /// `[1, T, hidden]` → the same.
    ///
    /// # Errors
    /// A tensor operation failed.
    pub fn normalize(state: &Tensor, kernels: KernelChoice) -> Result<Tensor> {
        rms_norm(state, EPS, kernels)
    }

    /// # Shapes
    /// `states × [1, T, hidden]`, normalised → `[1, T, outputs]`.
    ///
    /// # Errors
    /// The number or width of the states does not fit.
    pub fn forward(&self, states: &[Tensor]) -> Result<Tensor> {
        let stacked = Tensor::stack(states, 3)?.flatten_from(2)?;
        self.linear.forward(&(stacked * self.rescale)?)
    }
}
