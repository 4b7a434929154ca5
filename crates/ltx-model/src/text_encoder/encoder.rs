//! The whole way from prompts to contexts.
//!
//! Must not know which of the prompts is negative.

use super::{Connector, FeatureProjection, Gemma, MAX_TOKENS, TokenIds};
use candle_core::{DType, Tensor};
use ltx_nn::{NnError, Result, Taps};

/// What a text encoder is made of; the parts come from two places (a Gemma folder and the LTX file).
pub struct TextEncoderParts {
    /// The language model.
    pub gemma: Gemma,
    /// Hidden states to features.
    pub projection: FeatureProjection,
    /// Features to context.
    pub connector: Connector,
}

/// Prompts to contexts.
pub struct TextEncoder(TextEncoderParts);

impl TextEncoder {
    /// From its parts.
    pub fn new(parts: TextEncoderParts) -> Self {
        Self(parts)
    }

    /// The contexts of all prompts, in one pass over the language model's layers. `before_layer` is told each layer's
    /// number and may stop the work. `taps` are one per prompt.
    ///
    /// # Shapes
    /// One `[1, 1024, dim]`, f32, per prompt.
    ///
    /// # Errors
    /// A token is outside the vocabulary; `before_layer` failed.
    pub fn encode<E: From<NnError>>(
        &self,
        prompts: &[TokenIds],
        before_layer: impl FnMut(usize) -> Result<(), E>,
        taps: &[Taps],
    ) -> Result<Vec<Tensor>, E> {
        let TextEncoderParts { gemma, projection, connector } = &self.0;
        let mut states: Vec<Vec<Tensor>> = vec![Vec::with_capacity(gemma.config().states()); prompts.len()];
        gemma.hidden_states(prompts, before_layer, |prompt, _, state| {
            taps[prompt].record("gemma_hidden_states", || left_padded(&state))?;
            states[prompt].push(FeatureProjection::normalize(&state)?);
            Ok::<_, E>(())
        })?;
        let mut contexts = Vec::with_capacity(prompts.len());
        for (states, taps) in states.into_iter().zip(taps) {
            let features = projection.forward(&states)?;
            taps.record("video_features", || left_padded(&features))?;
            let context = connector.forward(&features, taps)?;
            taps.record("video_context", || Ok(context.clone()))?;
            contexts.push(context.to_dtype(DType::F32).map_err(NnError::from)?);
        }
        Ok(contexts)
    }
}

/// Zeros in front of the real tokens, as the reference lays its sequences out. `[1, n, D]` → `[1, 1024, D]`.
fn left_padded(x: &Tensor) -> Result<Tensor> {
    Ok(x.pad_with_zeros(1, MAX_TOKENS - x.dim(1)?, 0)?)
}
