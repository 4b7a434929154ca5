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
pub(crate) use sizes::Sizes;

use crate::{Engine, TileSizes};
use ltx_model::text_encoder::MAX_TOKENS;
use ltx_types::{FrameCount, Generation, Guidance, PixelShape, Stage, Stages};
use serde::Serialize;

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
}

/// The memory that a process may take of the machine, or of the GPU that it computes on, and what happens when a request needs
/// more even with everything streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryBudget {
    /// Bytes at the peak.
    pub bytes: u64,
    /// Whether such a request is refused, rather than tried with as little as it can do with.
    pub firm: bool,
}

/// One stage's share.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct StageNeed {
    /// The stage.
    pub stage: Stage,
    /// Bytes of the stage's own weights that are in memory at once: packed matrices, and 16-bit ones that are streamed or stay
    /// in tiles, as they are stored, all else in the compute dtype. Of layers that are streamed, two.
    pub weights: u64,
    /// Bytes of other stages' weights that stay in memory meanwhile.
    pub resident: u64,
    /// Bytes of activations at the worst moment, from shapes.
    pub activations: u64,
}

impl StageNeed {
    /// All of it.
    pub fn bytes(&self) -> u64 {
        self.weights + self.resident + self.activations
    }
}

/// The transformer's blocks: how many stay in memory through the sampling, of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BlocksNeed {
    /// Blocks that stay; the others are read in every pass.
    pub held: usize,
    /// All blocks.
    pub all: usize,
    /// Bytes of the largest in memory.
    pub bytes: u64,
}

/// How the decoder goes through the clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DecodingNeed {
    /// Tiles.
    pub count: usize,
    /// Their sizes.
    pub tiles: TileSizes,
}

/// All stages of a request. Stages do not overlap, so the peak is the largest of them.
#[derive(Debug, Clone, Serialize)]
pub struct MemoryPlan {
    /// Whether all of it is a GPU's memory, rather than the machine's.
    pub gpu: bool,
    /// By stage, in the order they run.
    pub stages: Vec<StageNeed>,
    /// Bytes of everything else. On the CPU: the program, tokenizer, headers, the video encoder. On a GPU: what its libraries
    /// work in, and the small weights of layers that are streamed.
    pub process: u64,
    /// What becomes of the transformer.
    pub blocks: BlocksNeed,
    /// What becomes of the clip's pixels.
    pub decoding: DecodingNeed,
    /// The budget that it was made for.
    pub budget: Option<MemoryBudget>,
}

impl MemoryPlan {
    /// The largest stage's bytes and the process' own: resident memory as the system counts it, or what is in use on the GPU.
    pub fn peak(&self) -> u64 {
        self.stages.iter().map(StageNeed::bytes).max().unwrap_or(0) + self.process
    }

    /// Whether the budget holds it.
    pub fn fits(&self) -> bool {
        self.budget.is_none_or(|budget| self.peak() <= budget.bytes)
    }
}

impl Engine {
    /// What a request needs, for an engine that has run before: what may stay in memory does. Where the budget does not hold
    /// even the least that is possible, this is that least.
    pub fn plan(&self, request: &Generation) -> MemoryPlan {
        self.plan_shape(&self.shape_of(request))
    }

    /// The same for sizes alone.
    pub fn plan_shape(&self, shape: &PlanShape) -> MemoryPlan {
        self.fitted(shape).1
    }

    fn shape_of(&self, request: &Generation) -> PlanShape {
        // A prompt that is too long is refused when it is encoded; here it is as long as one may be.
        let tokens = |prompt: &str| self.tokenizer().encode(prompt).map_or(MAX_TOKENS, |tokens| tokens.ids().len());
        let negative = request.guidance.as_ref().is_some_and(Guidance::uses_cfg).then_some(&request.negative_prompt);
        let prompts = std::iter::once(&request.prompt).chain(negative).map(|prompt| tokens(prompt)).collect();
        let Generation { pixels, frames, stages, .. } = *request;
        PlanShape { pixels, frames, stages, images: request.images.len(), prompts }
    }
}

impl PlanShape {
    /// A clip from one image and a prompt of the greatest length.
    pub fn of_clip(pixels: PixelShape, frames: FrameCount, stages: Stages) -> Self {
        Self { pixels, frames, stages, images: 1, prompts: vec![MAX_TOKENS] }
    }
}
