//! What a request will need, said before it runs: memory by stage, and what a budget makes of it.
//!
//! Must not know the machine it will run on, or how a need is computed.

use crate::TileSizes;
use ltx_types::Stage;
use serde::Serialize;

/// The memory that a process may take of the machine, or of the GPU that it computes on, and what happens when a request needs
/// more even with everything streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryBudget {
    /// Bytes at the peak.
    pub bytes: u64,
    /// Whether such a request is refused, rather than tried with as little as it can do with.
    pub firm: bool,
}

/// What one stage of a request needs.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct StageNeed {
    /// The stage.
    pub stage: Stage,
    /// Bytes of the stage's own weights that are in memory at once: packed matrices, and 16-bit ones that are streamed or stay
    /// in tiles, as they are stored, all else in the compute dtype. Of layers that are streamed, two.
    pub weights: u64,
    /// Bytes of other stages' weights that stay in memory meanwhile.
    pub resident: u64,
    /// Bytes of activations at the worst moment, from shapes; while it decodes, the video encoder's on the CPU, too.
    pub activations: u64,
}

impl StageNeed {
    /// Bytes of the stage in all.
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
    /// Whether those that stay have no more bits than they are stored in, and are widened while they are multiplied.
    pub compact: bool,
    /// Whether their large matrices are multiplied in 8 bits.
    pub eight_bit: bool,
}

/// How the decoder goes through the clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DecodingNeed {
    /// Tiles.
    pub count: usize,
    /// Sizes of a tile.
    pub tiles: TileSizes,
}

/// All stages of a request. Stages do not overlap, so the peak is the largest of them.
#[derive(Debug, Clone, Serialize)]
pub struct MemoryPlan {
    /// Whether all of it is a GPU's memory, rather than the machine's.
    pub gpu: bool,
    /// By stage, in the order they run.
    pub stages: Vec<StageNeed>,
    /// Bytes of everything else. On the CPU: the program, tokenizer, headers, a server. On a GPU: what its libraries
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
