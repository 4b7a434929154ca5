//! The names of what spans say; docs/traces.md explains each.
//!
//! Must not know spans.

pub(crate) const GENERATION: &str = "ltxd.generation";
pub(crate) const GENERATIONS: &str = "ltxd.generations";
pub(crate) const CLIENT: &str = "ltxd.client";
pub(crate) const EXISTED: &str = "ltxd.existed";
pub(crate) const MODEL: &str = "ltxd.model";
pub(crate) const METHOD: &str = "ltxd.method";
pub(crate) const WIDTH: &str = "ltxd.width";
pub(crate) const HEIGHT: &str = "ltxd.height";
pub(crate) const FRAMES: &str = "ltxd.frames";
pub(crate) const NODE: &str = "ltxd.node";
pub(crate) const ATTEMPT: &str = "ltxd.attempt";
pub(crate) const ATTEMPTS: &str = "ltxd.attempts";
/// How an attempt ended, or a generation.
pub(crate) const END: &str = "ltxd.end";
pub(crate) const RESUMED: &str = "ltxd.resumed";
pub(crate) const RESUMED_STAGE: &str = "ltxd.resumed.stage";
pub(crate) const RESUMED_STEP: &str = "ltxd.resumed.step";
pub(crate) const STAGE: &str = "ltxd.stage";
pub(crate) const STEP: &str = "ltxd.step";
pub(crate) const STEPS: &str = "ltxd.steps";
pub(crate) const STEPS_DONE: &str = "ltxd.steps.done";
/// OpenTelemetry's own.
pub(crate) const ERROR: &str = "error.type";
