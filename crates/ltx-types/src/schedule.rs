//! Which sampling schedule a model was trained for, and in how many stages it runs.
//!
//! Must not know the sigmas; they are computed in `ltx-pipeline`.

use serde::{Deserialize, Serialize};

/// Steps of the distilled schedule of LTX-2 and later, and where nobody knows the model.
pub const DISTILLED_STEPS: usize = 8;
/// Steps that refine the upscaled latent where a request lists no sigmas for them, whatever the schedule.
pub const REFINING_STEPS: usize = 3;

/// The sampling schedule. Dev and distilled checkpoints look alike, so it is always named, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// The fixed schedule of distilled weights, without guidance; its steps are the model's.
    Distilled,
    /// The shifted schedule of dev weights, with CFG and STG.
    Guided,
}

impl Schedule {
    /// The name used in flags, manifests and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Distilled => "distilled",
            Self::Guided => "guided",
        }
    }
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One sampling stage at full size, or two: half size, ×2 latent upscaler, refinement at full size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Stages {
    /// Sample once, at the size asked for.
    One,
    /// Sample at half size, upscale the latent, refine at the size asked for.
    Two,
}

impl Stages {
    /// 1 or 2.
    pub fn count(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

impl TryFrom<u8> for Stages {
    type Error = crate::FieldError;
    fn try_from(count: u8) -> Result<Self, Self::Error> {
        match count {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err(crate::FieldError::new("stages", count, "is neither 1 nor 2").nearest(if count == 0 {
                1
            } else {
                2
            })),
        }
    }
}

impl From<Stages> for u8 {
    fn from(stages: Stages) -> u8 {
        stages.count()
    }
}
