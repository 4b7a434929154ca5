//! Which image sits at which frame, and how firmly.
//!
//! Must not know pixels: an image is a path or bytes until `ltx-media` opens it.

use crate::{FieldError, Method, Schedule};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};

/// How firmly a frame is held to its image, 0..=1; 1 keeps it clean through every step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Strength(f64);

impl Strength {
    /// Full strength: the image is given, not denoised.
    pub const FULL: Self = Self(1.0);

    /// # Errors
    /// Outside 0..=1, or not a number.
    pub fn new(strength: f64) -> Result<Self, FieldError> {
        if (0.0..=1.0).contains(&strength) {
            return Ok(Self(strength));
        }
        let nearest = if strength.is_nan() { 1.0 } else { strength.clamp(0.0, 1.0) };
        Err(FieldError::new("strength", strength, "is outside 0..=1").nearest(nearest))
    }

    /// The strength as a number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Strength {
    type Error = FieldError;
    fn try_from(strength: f64) -> Result<Self, FieldError> {
        Self::new(strength)
    }
}

impl From<Strength> for f64 {
    fn from(strength: Strength) -> f64 {
        strength.0
    }
}

/// Where an image's bytes come from. Only a path can be serialised: bytes are stored as a file first.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSource {
    /// A file on this machine.
    Path(PathBuf),
    /// Encoded bytes (PNG, JPEG, WebP) that arrived with the request.
    #[serde(skip)]
    Bytes(Arc<[u8]>),
}

impl std::fmt::Debug for ImageSource {
    /// Names the source without printing the image.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => write!(f, "Path({})", path.display()),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

/// One image held at one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageCondition {
    /// The picture.
    pub source: ImageSource,
    /// The pixel frame it belongs to, 0-based.
    pub frame_index: usize,
    /// How firmly it is held.
    pub strength: Strength,
}

/// Where an image stands in a clip whose length may still be the model's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramePosition {
    /// The first frame.
    First,
    /// The last frame.
    Last,
    /// A frame by its index, 0-based.
    Index(usize),
}

/// An image as a caller gives it, before the clip's length is known.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageInput {
    /// The picture.
    pub source: ImageSource,
    /// The frame it belongs to.
    pub position: FramePosition,
    /// How firmly it is held.
    pub strength: Strength,
}

impl ImageCondition {
    /// The image at its frame of a clip of so many frames.
    pub(crate) fn within(image: ImageInput, frames: usize) -> Self {
        let frame_index = match image.position {
            FramePosition::First => 0,
            // Never 0, even in a clip of one frame: an end image alone must not pass for a start image.
            FramePosition::Last => frames.saturating_sub(1).max(1),
            FramePosition::Index(index) => index,
        };
        Self { source: image.source, frame_index, strength: image.strength }
    }
}

/// What happens to an image at frame 0. Images elsewhere are always appended as keyframe tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditioningMode {
    /// Its latent replaces latent frame 0 (the official image-to-video and distilled pipelines).
    ReplaceFirst,
    /// It is appended like every other keyframe (the official keyframe interpolation).
    AppendAll,
}

impl ConditioningMode {
    /// The official pipelines' choice: keyframe interpolation on the guided schedule appends both images, everything else
    /// replaces the first latent frame.
    pub fn official(method: Method, schedule: Schedule) -> Self {
        match (method, schedule) {
            (Method::StartEndFrames, Schedule::Guided) => Self::AppendAll,
            _ => Self::ReplaceFirst,
        }
    }

    /// The name used in flags, golden cases and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReplaceFirst => "replace_first",
            Self::AppendAll => "append_all",
        }
    }
}
