//! From an admitted generation to frames: schedules, guidance, noise, conditioning, sampler, tiled decoding, and the two
//! methods; and the golden cases that prove them. Implements `ltx-engine`'s interface.
//!
//! Must not know: queues, gRPC, terminals. It reads checkpoints through `ltx-weights` and writes frames only through
//! `ltx-media`'s marked writers.
#![forbid(unsafe_code)]

mod adain;
pub mod bench;
mod conditioning;
mod contexts;
mod decode;
mod engine;
mod error;
mod files;
mod generate;
pub mod golden;
mod guidance;
mod identity;
mod image_crf;
mod image_latents;
mod inspect;
mod kept;
mod latent;
mod noise;
mod opened;
mod plan;
mod preview;
mod prompts;
mod quantize;
mod rates;
mod resident;
mod rgb;
mod sampler;
mod schedule;
mod tokens;
mod work;

pub use decode::{DecodeNoise, decode_tiled};
pub use engine::{Engine, EngineOptions};
pub use error::{PipelineError, Result};
pub use files::told_apart;
pub use inspect::{Inspected, inspect, inspect_together};
pub use noise::Noise;
pub use opened::{left_alone_in, named_otherwise, official_defaults, resolved};
pub use plan::PlanShape;
pub use prompts::Prompts;
pub use quantize::quantize;
pub use rates::RateMeter;
pub use schedule::{Sigmas, stage_sigmas};
