//! The engine's interface without the engine: what makes frames of an admitted generation, how it reports, what it saves and
//! shows on the way, what it keeps for another time, what it says of prompts, of memory and of time, and how it fails.
//!
//! Must not know: tensors, candle, checkpoints. `ltx-pipeline` implements it; the queue and the server work with it alone, and
//! a fake takes the engine's place in their tests.
#![forbid(unsafe_code)]

mod cache;
mod error;
mod generator;
mod latent;
mod plan;
mod preview;
mod prompt;
mod steps;
mod tiles;

pub use cache::{Cache, CacheKey, CachedTensor, NoCache, NotAKey};
pub use error::{EngineError, ErrorKind, is_disk_full, says_disk_full};
pub use generator::{Encodings, Generator, Outcome, Run, StageSeconds};
pub use latent::{LatentStore, NotKept, NotSaved, SavedLatent};
pub use plan::{BlocksNeed, DecodingNeed, MemoryBudget, MemoryPlan, StageNeed};
pub use preview::{NoPreviews, Preview, PreviewSink};
pub use prompt::{PromptTokens, long_prompts};
pub use steps::StageSteps;
pub use tiles::{Axis, TileSizes};
