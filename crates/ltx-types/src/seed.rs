//! The seed of a generation's noise.
//!
//! Must not know the generator it seeds.

use serde::{Deserialize, Serialize};

/// Seeds the mt19937 noise generator, as `torch.Generator().manual_seed(seed)` does on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// A seed that nobody chose, drawn from the system's randomness: different each time, not secret. Where the system has none
    /// to give, 0.
    pub fn drawn() -> Self {
        Self(getrandom::u64().unwrap_or(0))
    }
}

impl std::fmt::Display for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
