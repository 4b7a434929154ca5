//! Checkpoint files as sources of weights: memory-mapped safetensors, their configurations, model manifests, and the
//! report that accounts for every key.
//!
//! Must not know: how a model computes. It implements `ltx_nn::Weights` twice, once for data and once for shapes
//! alone, so that `inspect` runs the models' real `load()` and no second list of keys exists.
#![deny(unsafe_code)]

mod error;
mod manifest;
mod report;
mod safetensors_file;
mod sources;
mod tensor_set;

pub use error::{Result, WeightsError};
pub use manifest::{Defaults, Manifest, ManifestFile, ManifestFiles, ModelLibrary};
pub use report::{KeyProblem, LoadReport, Tally};
pub use sources::{ShapeOnly, Stored};
pub use tensor_set::TensorSet;
