//! What a request will need, said before it runs: memory by stage, and what a budget makes of it.
//!
//! Must not know the machine it will run on.

mod fit;
mod needs;
#[cfg(test)]
mod on_a_gpu;
mod process;
mod sizes;

pub(crate) use fit::Fit;
pub(crate) use sizes::{Sizes, StageSizes};

use crate::{Engine, Prompts};
use ltx_engine::MemoryPlan;
use ltx_model::text_encoder::MAX_TOKENS;
use ltx_types::{FrameCount, Generation, Guidance, LoraUse, PixelShape, Stages};

/// What the memory of a request depends on.
#[derive(Debug, Clone)]
pub struct PlanShape {
    /// Size of every frame.
    pub pixels: PixelShape,
    /// Length of the clip.
    pub frames: FrameCount,
    /// One stage or two.
    pub stages: Stages,
    /// Images that are appended to the clip or replace its first frame.
    pub images: usize,
    /// Tokens of every prompt.
    pub prompts: Vec<usize>,
    /// LoRAs that the request names.
    pub loras: Vec<LoraUse>,
}

impl Engine {
    /// What a request needs, for an engine that has run before: what may stay in memory does. Where the budget does not hold
    /// even the least that is possible, this is that least.
    pub fn plan(&self, request: &Generation) -> MemoryPlan {
        self.plan_shape(&PlanShape::of(request, self.prompts()))
    }

    /// What a request of these sizes needs: [`plan`](Self::plan) without the request.
    pub fn plan_shape(&self, shape: &PlanShape) -> MemoryPlan {
        self.fitted(shape).1
    }
}

impl PlanShape {
    /// The sizes of a request; `tokenizer` is the model's.
    pub fn of(request: &Generation, tokenizer: &Prompts) -> Self {
        // A prompt that is too long is refused when it is encoded; here it is as long as one may be.
        let tokens = |prompt: &str| tokenizer.tokens(prompt).count.min(MAX_TOKENS);
        let negative = request.guidance.as_ref().is_some_and(Guidance::uses_cfg).then_some(&request.negative_prompt);
        let prompts = std::iter::once(&request.prompt).chain(negative).map(|prompt| tokens(prompt)).collect();
        let Generation { pixels, frames, stages, .. } = *request;
        let loras = request.loras.clone();
        Self { pixels, frames, stages, images: request.images.len(), prompts, loras }
    }

    /// A clip from one image and a prompt of the greatest length.
    pub fn of_clip(pixels: PixelShape, frames: FrameCount, stages: Stages) -> Self {
        Self { pixels, frames, stages, images: 1, prompts: vec![MAX_TOKENS], loras: vec![] }
    }
}
