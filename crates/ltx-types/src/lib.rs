//! The words every other crate uses: shapes, frame counts, rates, seeds, the request, progress, the cancel token.
//!
//! Must not know: tensors, files, FFmpeg, gRPC, policy. No I/O happens here.
#![forbid(unsafe_code)]

mod cancel;
mod causes;
mod check;
mod conditioning;
mod defaults;
mod distilled_lora;
mod field_error;
mod field_errors;
mod flow;
mod frames;
mod guidance;
pub mod json;
mod lora_use;
mod method;
mod model_files;
mod model_rules;
mod outputs;
mod part;
mod progress;
mod rates;
mod request;
mod schedule;
mod seed;
pub mod settings;
mod shape;
mod sigmas;
mod size_rules;
mod time;
mod unread;
mod version;
mod words;
mod work;

pub use cancel::{CancelToken, Cancelled};
pub use causes::{causes, sentence};
pub use conditioning::{ConditioningMode, FramePosition, ImageCondition, ImageInput, ImageSource, Strength};
pub use defaults::{Defaults, Overrides};
pub use distilled_lora::{DistilledLora, LoraRole};
pub use field_error::FieldError;
pub use field_errors::{Faults, FieldErrors};
pub use flow::Flow;
pub use frames::{FrameCount, FrameRate};
pub use guidance::Guidance;
pub use lora_use::LoraUse;
pub use method::Method;
pub use model_files::{LORA_STRENGTHS, LoraChoice, LoraStrengths, ModelFiles, SamplingStage};
pub use model_rules::ModelRules;
pub use outputs::Outputs;
pub use part::Part;
pub use progress::{NoProgress, Progress, ProgressSink, Stage};
pub use rates::Rates;
pub use request::{Crf, Generation, GenerationDraft};
pub use schedule::{DISTILLED_STEPS, REFINING_STEPS, Schedule, Stages};
pub use seed::Seed;
pub use shape::{LatentScale, LatentShape, PixelShape};
pub use sigmas::SigmaList;
pub use size_rules::SizeRules;
pub use time::UnixMillis;
pub use version::{MODEL_VERSION, VAE_VERSION, model_version, version_numbers};
pub use words::words;
pub use work::{Phase, StageWork, Unit, UnknownUnit, Work, channels};
