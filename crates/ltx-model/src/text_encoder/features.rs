//! Hidden states to features: each state normalised by itself, flattened with the layer fastest, projected. Source: the public
//! `ltx_core` reference, `text_encoders/gemma/feature_extractor.py`.
//!
//! Must not know Gemma.

use super::{Features, ProjectionConfig};
use crate::{architecture::Keys, part::Module};
use candle_core::{DType, Tensor};
use ltx_nn::{KernelChoice, Linear, Result, Vb, rms_norm};
use ltx_types::Part;

const EPS: f64 = 1e-6;

/// What a state is scaled by over its range.
const RANGE: f64 = 8.0;

/// `text_embedding_projection`.
pub struct FeatureProjection {
    linear: Linear,
    /// What features are multiplied by before.
    rescale: Option<f64>,
}

impl Module for FeatureProjection {
    const PART: Part = Part::TextProjection;
    const MARK: &'static str = "text_embedding_projection.";
    type Config = ProjectionConfig;

    fn load(root: &Vb, config: &ProjectionConfig) -> Result<Self> {
        let ProjectionConfig { features, hidden, states, outputs } = *config;
        let vb = root.exact().pp("text_embedding_projection").pp(features.key());
        let by_token = features == Features::PerTokenRms;
        let rescale = by_token.then(|| (outputs as f64 / hidden as f64).sqrt());
        Ok(Self { linear: Linear::load_with(&vb, hidden * states, outputs, by_token)?, rescale })
    }
}

impl FeatureProjection {
    /// Inputs of the projection that is among some keys, 0 where none is.
    pub fn inputs(keys: &impl Keys) -> usize {
        let shape = |features: Features| keys.shape_of(&format!("{}{}.weight", Self::MARK, features.key()));
        let shape = shape(Features::PerTokenRms).or_else(|| shape(Features::ByRange));
        shape.and_then(|shape| shape.get(1)).copied().unwrap_or(0)
    }

    /// One hidden state, normalised; done as soon as a state exists, so that only this form is kept.
    ///
    /// # Shapes
    /// `[1, T, hidden]`, of real tokens alone → the same.
    ///
    /// # Errors
    /// A tensor operation failed.
    pub fn normalize(state: &Tensor, features: Features, kernels: KernelChoice) -> Result<Tensor> {
        match features {
            Features::PerTokenRms => rms_norm(state, EPS, kernels),
            Features::ByRange => {
                let values = state.to_dtype(DType::F32)?.flatten_all()?;
                let number = |of: Tensor| Ok::<_, ltx_nn::NnError>(f64::from(of.to_scalar::<f32>()?));
                let (mean, least, most) = (number(values.mean(0)?)?, number(values.min(0)?)?, number(values.max(0)?)?);
                Ok(state.affine(RANGE / (most - least + EPS), -RANGE * mean / (most - least + EPS))?)
            }
        }
    }

    /// # Shapes
    /// `states × [1, T, hidden]`, normalised → `[1, T, outputs]`.
    ///
    /// # Errors
    /// The number or width of the states does not fit.
    pub fn forward(&self, states: &[Tensor]) -> Result<Tensor> {
        let stacked = Tensor::stack(states, 3)?.flatten_from(2)?;
        match self.rescale {
            Some(rescale) => self.linear.forward(&(stacked * rescale)?),
            None => self.linear.forward(&stacked),
        }
    }
}
