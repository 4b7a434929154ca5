//! What a model's manifest says for fields that a request leaves out.
//!
//! Must not know where manifests lie.

use crate::{Guidance, Schedule, Stages};
use serde::Deserialize;

/// How a model wants to be sampled where a request is silent, as its manifest states it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// The schedule the weights were trained for.
    pub schedule: Schedule,
    /// One stage or two.
    pub stages: Stages,
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Pixel frames, 8k+1.
    pub frames: usize,
    /// Frames per second.
    pub fps: f64,
    /// Steps of the guided schedule.
    pub steps: usize,
    /// The conditioning images' H.264 round trip.
    pub image_crf: u32,
    /// Guidance of the guided schedule.
    pub guidance: Guidance,
    /// What guidance steers away from when the request is silent.
    #[serde(default)]
    pub negative_prompt: String,
}
