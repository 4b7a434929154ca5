//! T5 v1.1's encoder: the text encoder of LTX-Video 0.9.x, whose last states are the context. Source: Raffel et al., “Exploring
//! the Limits of Transfer Learning with a Unified Text-to-Text Transformer” (2020); Shazeer, “GLU Variants Improve Transformer”
//! (2020), for the gate.
//!
//! Must not know which prompt is negative, or where files lie.

mod bias;
mod config;
mod encoder;
mod footprint;
mod pieces;
mod tokenizer;
mod work;

pub use crate::text_encoder::UnigramModel;
pub use config::{T5Config, T5Shapes};
pub use encoder::T5Encoder;
pub use pieces::{differing, tokenizer_json};
pub use tokenizer::{T5Special, T5Tokenizer};

/// Slots of the text sequence, as the reference's pipeline has them. A longer prompt is refused.
pub const T5_TOKENS: usize = 256;
