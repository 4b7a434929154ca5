//! What a running generation reports.
//!
//! Must not know who listens: a terminal bar, a gRPC stream, or nobody.

use crate::Stages;
use serde::{Deserialize, Serialize};

/// A part of the work, in the order in which it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The prompt, through Gemma and the connector.
    TextEncoding,
    /// The images, through the VAE encoder.
    ImageEncoding,
    /// Sampling, first stage.
    Denoising,
    /// The ×2 latent upscaler between the stages.
    Upsampling,
    /// Sampling, second stage.
    Refining,
    /// The latent, tile by tile, into frames; each chunk is encoded as it comes.
    Decoding,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 6] =
        [Self::TextEncoding, Self::ImageEncoding, Self::Denoising, Self::Upsampling, Self::Refining, Self::Decoding];

    /// Those of a request in so many sampling stages, in order.
    pub fn of(stages: Stages) -> impl Iterator<Item = Self> {
        let two = stages == Stages::Two;
        Self::ALL.into_iter().filter(move |stage| two || !matches!(stage, Self::Upsampling | Self::Refining))
    }

    /// A word or two for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::TextEncoding => "text",
            Self::ImageEncoding => "images",
            Self::Denoising => "denoising",
            Self::Upsampling => "upsampling",
            Self::Refining => "refining",
            Self::Decoding => "decoding",
        }
    }
}

/// One report: `done` of `total` steps of a stage are finished. A stage opens with `done` 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The stage that runs.
    pub stage: Stage,
    /// Finished steps.
    pub done: usize,
    /// All steps of this stage.
    pub total: usize,
}

/// Receives reports on the thread that works; must return at once.
pub trait ProgressSink {
    /// One report.
    fn report(&self, progress: Progress);
}

/// Listens to nothing.
pub struct NoProgress;

impl ProgressSink for NoProgress {
    fn report(&self, _: Progress) {}
}
