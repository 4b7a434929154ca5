//! The seed of a generation's noise.
//!
//! Must not know the generator it seeds.

use crate::FieldError;
use serde::{Deserialize, Serialize};

/// Seeds the mt19937 noise generator, as `torch.Generator().manual_seed(seed)` does on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// A seed that nobody chose, drawn from the system's randomness: different each time, not secret.
    ///
    /// # Errors
    /// The system has no randomness to give; a request must name its seed then.
    pub fn drawn() -> Result<Self, FieldError> {
        let rule = "was given, and the system has no randomness to draw one from";
        getrandom::u64().map(Self).map_err(|_| FieldError::new("seed", "none", rule))
    }
}

impl std::fmt::Display for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
