//! The durable queue of a node: requests are stored, run one after another on the device, and kept with what they made.
//!
//! Must not know: gRPC, tokens, command lines, tensors. [`Jobs`] is the way in. An
//! admitted request goes [`submit`](Jobs::submit) → database → queue → runner → device thread → outputs → database, and
//! whoever [watches](Jobs::watch) sees each step as a numbered event.
//!
//! What holds whatever happens: a generation is stored before it is acknowledged; only one change of state follows
//! another as the table in [`State`] says; after a crash, what was running goes on from its last denoising step and makes
//! the same frames; every output carries the mark; nothing is seen by another client.
#![forbid(unsafe_code)]

mod alone;
mod batch;
mod cache;
mod clock;
mod config;
mod core;
mod device;
mod document;
mod error;
mod estimate;
mod event;
mod failure;
mod fidelity;
mod folder;
mod forecasts;
mod given;
mod hub;
mod id;
mod images;
mod jobs;
mod latent;
mod lifecycle;
mod line;
pub mod memory;
mod models;
mod news;
mod output;
mod policy;
pub mod ports;
mod preview;
mod rate;
mod record;
mod runner;
mod sqlite;
mod state;
mod submit;
mod sweep;
mod tail;
mod testing;
mod trace;
mod watch;
mod whole;

pub use alone::{Alone, LeavingGeneration};
pub use batch::Batch;
pub use cache::{CacheSettings, CacheStatus, TensorCache};
pub use config::{JobsConfig, Limits, Retention, Settings};
pub use device::DeviceError;
pub use error::{JobsError, LegalShape, Result};
pub use event::{Event, EventKind};
pub use failure::{Failure, FailureCode};
pub use fidelity::Fidelity;
pub use folder::{DataFolder, Disk, Space, is_held, moved_to};
pub use given::{GivenImage, OpenImage};
pub use id::{ClientId, GenerationId, UploadId};
pub use images::{NamedImage, SaidOfImage};
pub use jobs::{Jobs, OpenOutput, Status, Surroundings};
pub use line::ServiceStatus;
pub use ltx_engine::PromptTokens;
pub use models::{KnownRates, LoadError, Models};
pub use news::News;
pub use policy::CurrentPolicy;
pub use preview::PreviewWatch;
pub use rate::RateLimit;
pub use record::{Filter, Finished, GenerationRecord, OutputFile, OutputKind, Page, PageToken, Prediction, StageTime};
pub use state::{Change, NotPossible, State};
pub use submit::{Estimate, Submission, Submitted};
pub use sweep::Swept;
pub use testing::RunFaults;
pub use trace::{Asked, Before, Deed, Did, TraceContext, TraceCounts, Traced, TracedAttempt, TracedRequest, Tracer};
pub use watch::{Watch, WatchEnd, Watched};
