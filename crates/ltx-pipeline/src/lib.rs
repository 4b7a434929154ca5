//! From an admitted generation to frames: schedules, guidance, noise, conditioning, sampler, tiled decoding, and the two
//! methods; and the golden cases that prove them.
//!
//! Must not know: queues, gRPC, terminals. It reads checkpoints through `ltx-weights` and writes frames only through
//! `ltx-media`'s marked writers.
#![forbid(unsafe_code)]

pub mod bench;
mod conditioning;
mod decode;
mod engine;
mod error;
mod files;
mod generate;
pub mod golden;
mod guidance;
mod inspect;
mod noise;
mod opened;
mod plan;
mod preview;
mod quantize;
mod resident;
mod rgb;
mod sampler;
mod saved;
mod schedule;
mod tokens;

pub use decode::{Axis, TileSizes, decode_tiled};
pub use engine::{Engine, EngineOptions};
pub use error::{PipelineError, Result};
pub use files::ModelFiles;
pub use generate::{Generator, Outcome, Run, StageSeconds};
pub use inspect::{Inspected, inspect, inspect_together};
pub use noise::Noise;
pub use plan::{BlocksNeed, DecodingNeed, MemoryBudget, MemoryPlan, PlanShape, StageNeed};
pub use preview::{NoPreviews, Preview, PreviewSink};
pub use quantize::quantize;
pub use saved::{LatentStore, NotSaved, SavedLatent};
pub use schedule::{Sigmas, stage_sigmas};
