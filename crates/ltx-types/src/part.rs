//! The parts that a model is made of, by name: what files hold, accounts list and messages say is missing.
//!
//! Must not know keys, shapes, or how a part computes.

use serde::{Serialize, Serializer};
use std::{cmp::Ordering, fmt};

/// A part of a model, accounted for as one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The language model whose hidden states are read.
    LanguageModel,
    /// From hidden states to text features.
    TextProjection,
    /// From text features to the context of the transformer.
    TextConnector,
    /// From pixels to latents.
    VideoEncoder,
    /// The diffusion transformer.
    Transformer,
    /// From latents to latents of twice the size.
    LatentUpsampler,
    /// From latents to pixels.
    VideoDecoder,
    /// The pairs of a LoRA file: added to matrices of the other parts.
    LoraPairs,
}

impl Part {
    /// The name in reports and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::LanguageModel => "text encoder",
            Self::TextProjection => "text projection",
            Self::TextConnector => "text connector",
            Self::VideoEncoder => "video VAE encoder",
            Self::Transformer => "transformer",
            Self::LatentUpsampler => "latent upscaler",
            Self::VideoDecoder => "video VAE decoder",
            Self::LoraPairs => "LoRA pairs",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Reports list parts by name.
impl Ord for Part {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}
