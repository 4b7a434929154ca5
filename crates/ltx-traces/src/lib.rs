//! OpenTelemetry traces of generations, from Create to the last event, sent to a collector by OTLP over HTTP. Off unless an endpoint is
//! named: then nothing of this crate runs.
//!
//! Must not know: gRPC, candle, how a generation is kept. Prompts and images never come here: what [`ltx_jobs::Tracer`] is told
//! has no room for them. Spans are made of what the jobs tell their listeners, and of nothing else.
//!
//! A span's id follows from its generation and from what it is of. So whichever node ends a span (the one whose worker died does not)
//! writes the same one, and those beneath it find it.
#![forbid(unsafe_code)]

mod attributes;
mod endpoint;
mod headers;
mod ids;
mod pairs;
mod sampler;
mod sender;
mod settings;
mod span;
mod tracer;

pub use endpoint::{base, whole};
pub use pairs::pairs;
pub use sampler::Sampler;
pub use settings::{Settings, TracesConfig};
pub use tracer::Traces;
