//! Golden cases (`ltx-golden/1`): a request and the tensors the models' reference implementation computes from it.
//!
//! Must not know policy: a case writes no output, so it runs beneath the gate. It takes its inputs from the case alone
//! (prompt, images, seed), never from intermediate results.

mod case;
mod compare;
mod run;
mod sampler;
mod upscaler;

pub use case::{GoldenCase, GoldenError};
pub use compare::Comparison;
pub use run::{GoldenResult, run_case};
pub use upscaler::UpscalerCase;

use crate::EngineOptions;
use ltx_engine::Run;
use std::path::Path;

/// A case of any kind.
pub enum Golden {
    /// A whole generation.
    Generation(Box<GoldenCase>),
    /// An upscaler alone.
    Upscaler(UpscalerCase),
}

impl Golden {
    /// Reads `case.json` in `folder`; paths in it are relative to the folder.
    ///
    /// # Errors
    /// As [`GoldenCase::open`].
    pub fn open(folder: &Path) -> Result<Self, GoldenError> {
        match case::upscaler_in(folder)? {
            Some(raw) => Ok(Self::Upscaler(UpscalerCase::new(folder, raw))),
            None => Ok(Self::Generation(Box::new(GoldenCase::open(folder)?))),
        }
    }

    /// Runs the case and compares.
    ///
    /// # Errors
    /// As [`run_case`] and [`UpscalerCase::run`].
    pub fn run(&self, options: EngineOptions, run: &Run<'_>) -> Result<GoldenResult, GoldenError> {
        match self {
            Self::Generation(case) => run_case(case, options, run),
            Self::Upscaler(case) => case.run(&options),
        }
    }
}
