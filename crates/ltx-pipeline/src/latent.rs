//! Tokens of a running generation, from the device into what a [`LatentStore`] keeps, and back.
//!
//! Must not know where they are kept.

use crate::Result;
use candle_core::{DType, Device, Tensor};
use ltx_engine::{LatentStore, SavedLatent};
use ltx_types::Stage;

/// The state that a generation goes on from.
pub(crate) struct LatentState {
    /// The denoising stage that it belongs to.
    pub(crate) stage: Stage,
    /// Steps of that stage that are done.
    pub(crate) steps_done: usize,
    /// `[1, T, C]`, f32, on the CPU.
    pub(crate) tokens: Tensor,
}

impl LatentState {
    /// What the store has of an earlier run.
    pub(crate) fn saved(store: &dyn LatentStore) -> Result<Option<Self>> {
        let tensor = |SavedLatent { stage, steps_done, shape: [batch, tokens, channels], values }| {
            let tokens = Tensor::from_vec(values, (batch, tokens, channels), &Device::Cpu)?;
            Ok(Self { stage, steps_done, tokens })
        };
        store.saved().map(tensor).transpose()
    }

    /// Whether the first of two stages is over.
    pub(crate) fn is_refining(&self) -> bool {
        self.stage == Stage::Refining
    }
}

/// Hands the tokens (`[1, T, C]`) after some steps to a store that keeps them.
pub(crate) fn save(store: &dyn LatentStore, stage: Stage, steps_done: usize, tokens: &Tensor) -> Result<()> {
    if !store.keeps() {
        return Ok(());
    }
    let shape = tokens.dims3()?.into();
    let values = tokens.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(store.save(SavedLatent { stage, steps_done, shape, values })?)
}
