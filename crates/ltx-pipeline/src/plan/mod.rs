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
pub(crate) use sizes::{EightBit, Rule, Sizes, StageSizes};

use crate::{Engine, Prompts, contexts::prompts_of};
use ltx_engine::{Cache, MemoryPlan};
use ltx_model::text_encoder::MAX_TOKENS;
use ltx_types::{FrameCount, Generation, LoraUse, PixelShape, Stages};

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
    /// Whether the text encoder has anything to do: not where every context is kept from an earlier request.
    pub encodes: bool,
}

impl Engine {
    /// What a request needs, for an engine that has run before: what may stay in memory does. Where the budget does not hold
    /// even the least that is possible, this is that least.
    pub fn plan(&self, request: &Generation) -> MemoryPlan {
        self.plan_shape(&PlanShape::of(request, self.prompts()))
    }

    /// The same where a cache may hold the contexts of its prompts: if it holds them all, no text stage is planned.
    pub fn plan_with(&self, request: &Generation, cache: &dyn Cache) -> MemoryPlan {
        self.plan_shape(&self.shape_with(request, cache))
    }

    /// The sizes of a request where a cache may hold the contexts of its prompts.
    pub fn shape_with(&self, request: &Generation, cache: &dyn Cache) -> PlanShape {
        let keys = if cache.keeps() { self.context_keys(request) } else { Vec::new() };
        let encodes = keys.is_empty() || !keys.iter().all(|key| cache.holds(key));
        PlanShape { encodes, ..PlanShape::of(request, self.prompts()) }
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
        let prompts = prompts_of(request).into_iter().map(|(_, prompt)| tokens(prompt)).collect();
        let Generation { pixels, frames, stages, .. } = *request;
        let loras = request.loras.clone();
        Self { pixels, frames, stages, images: request.images.len(), prompts, loras, encodes: true }
    }

    /// A clip from one image and a prompt of the greatest length.
    pub fn of_clip(pixels: PixelShape, frames: FrameCount, stages: Stages) -> Self {
        Self { pixels, frames, stages, images: 1, prompts: vec![MAX_TOKENS], loras: vec![], encodes: true }
    }
}
