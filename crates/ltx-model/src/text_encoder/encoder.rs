//! The whole way from prompts to contexts. Language model, projection and connector are needed one after the other, and each of
//! their layers once: unless they are to stay, memory holds two layers at a time.
//!
//! Must not know which of the prompts is negative.

use super::{Connector, FeatureProjection, Features, Gemma, MAX_TOKENS, TextConfig, TokenIds};
use crate::{layers::Layers, part::Module};
use candle_core::{DType, Tensor};
use ltx_nn::{KernelChoice, NnError, Result, Taps, Vb, matrix::Use};
use ltx_types::Part;

/// Prompts to contexts.
pub struct TextEncoder {
    gemma: Gemma,
    /// Hidden states to features. Alone in its stack, it is large and used once in an encoding.
    projection: Layers<FeatureProjection>,
    connector: Connector,
    features: Features,
    kernels: KernelChoice,
}

impl TextEncoder {
    /// What of it may stay in memory between generations; the language model is read anew for every encoding.
    pub const STAYS: [Part; 2] = [FeatureProjection::PART, Connector::PART];

    /// The language model, which is read anew for every encoding, with the projection and the connector at the root of an LTX
    /// checkpoint, `vb`. Those stay in memory once they were used, if `stays`.
    ///
    /// # Errors
    /// As [`ltx_nn::Weights::tensor`].
    pub fn open(gemma: Gemma, vb: &Vb, config: &TextConfig, stays: bool) -> Result<Self> {
        let connector = Connector::open(vb, &config.connector, stays)?;
        let (root, projection) = (vb.clone(), config.projection);
        let load = move |vb: &Vb, _| {
            // Its one product a prompt is not worth another form, also where it stays.
            let usage = if vb.usage() == Use::Stays { Use::Once } else { vb.usage() };
            FeatureProjection::load(&root.used(usage), &projection)
        };
        let projection = Layers::new(vb.clone(), (1, usize::from(stays)), load);
        let features = config.projection.features;
        Ok(Self { gemma, projection, connector, features, kernels: vb.compute().kernels })
    }

    /// Loads what stays, ahead of the first encoding.
    ///
    /// # Errors
    /// As [`ltx_nn::Weights::tensor`].
    pub fn load_held(&self) -> Result<()> {
        self.projection.load_held()?;
        self.connector.load_held()
    }

    /// Layers of an encoding: the language model's, the projection, the connector's.
    pub fn layers(&self) -> usize {
        self.gemma.config().num_hidden_layers + 1 + self.connector.layers()
    }

    /// The contexts of all prompts, in one pass over the layers. `before_layer` is told each layer's number, below
    /// [`Self::layers`], and may stop the work. `taps` are one per prompt.
    ///
    /// # Shapes
    /// One `[1, 1024, dim]`, f32, per prompt.
    ///
    /// # Errors
    /// A token is outside the vocabulary; a layer cannot be loaded; `before_layer` failed.
    pub fn encode<E: From<NnError>>(
        &self,
        prompts: &[TokenIds],
        mut before_layer: impl FnMut(usize) -> Result<(), E>,
        taps: &[Taps],
    ) -> Result<Vec<Tensor>, E> {
        let Self { gemma, projection, connector, features: kind, kernels } = self;
        let mut states: Vec<Vec<Tensor>> = vec![Vec::with_capacity(gemma.config().states()); prompts.len()];
        gemma.hidden_states(prompts, &mut before_layer, |prompt, _, state| {
            taps[prompt].record("gemma_hidden_states", || left_padded(&state))?;
            states[prompt].push(FeatureProjection::normalize(&state, *kind, *kernels)?);
            Ok::<_, E>(())
        })?;
        let first = gemma.config().num_hidden_layers;
        let mut features = Vec::with_capacity(prompts.len());
        let before = |i| before_layer(first + i);
        projection.for_each(before, |_, projection| {
            for (states, taps) in states.drain(..).zip(taps) {
                let projected = projection.forward(&states)?;
                taps.record("video_features", || left_padded(&projected))?;
                features.push(projected);
            }
            Ok(())
        })?;
        let contexts = connector.forward(features, taps, |i| before_layer(first + 1 + i))?;
        let finished = |(context, taps): (Tensor, &Taps)| -> Result<Tensor> {
            taps.record("video_context", || Ok(context.clone()))?;
            Ok(context.to_dtype(DType::F32)?)
        };
        Ok(contexts.into_iter().zip(taps).map(finished).collect::<Result<_>>()?)
    }
}

/// Zeros in front of the real tokens, as the reference lays its sequences out. `[1, n, D]` → `[1, 1024, D]`.
fn left_padded(x: &Tensor) -> Result<Tensor> {
    Ok(x.pad_with_zeros(1, MAX_TOKENS - x.dim(1)?, 0)?)
}
