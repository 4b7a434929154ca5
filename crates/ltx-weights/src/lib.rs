//! Checkpoint files as sources of weights: memory-mapped safetensors and GGUF, one file or several, LoRA files over them, their
//! configurations, and the report that accounts for every key; and the way from one format to the other (`quantize`).
//!
//! Must not know: how a model computes. It implements `ltx_nn::Weights` for data, for shapes
//! alone, and for random data of those shapes (measurements), so that `inspect` runs the models' real `load()` and no second
//! list of keys exists.
#![deny(unsafe_code)]

mod diffusers;
mod entries;
mod error;
mod ggml_types;
mod gguf;
mod identity;
mod lora;
mod mapped;
mod names;
mod quantised;
mod quantize;
mod random;
mod report;
mod safetensors_file;
mod sources;
mod tensor_set;
mod vocabulary;
mod weight_file;

pub use entries::StatedInVain;
pub use error::{Result, WeightsError};
pub use gguf::GgufFault;
pub use lora::{Adapted, Idle, LoraAlone, LoraHalf, LoraProblem, LoraReport, Loras, Wear, Worn, is_lora, lora_report};
pub use quantize::{MetaValue, Naming, QuantizeReport, QuantizeType, Recipe, TensorReport, quantize};
pub use random::RandomWeights;
pub use report::{KeyProblem, LoadReport, Tally};
pub use sources::{ShapeOnly, Stored};
pub use tensor_set::{Footprint, Indexed, TensorSet, Twice};
pub use weight_file::header_bytes;
