//! From a prompt to the text context: tokenizer, Gemma with all hidden states, per-token RMS features, projection,
//! connector with registers.
//!
//! Must not know which prompt is negative.

pub(crate) mod charsmap;
mod config;
mod connector;
mod encoder;
mod features;
mod footprint;
mod gemma;
mod gemma_config;
mod pieces;
mod template;
mod tokenizer;
pub(crate) mod tokenizer_file;
mod work;

pub use config::{ConnectorConfig, Features, ProjectionConfig, TextConfig};
pub(crate) use config::{NORM_TYPE, PER_TOKEN_RMS};
pub use connector::Connector;
pub use encoder::TextEncoder;
pub use features::FeatureProjection;
pub use gemma::Gemma;
pub use gemma_config::{AttentionSizes, GemmaConfig, GemmaShapes, Generation, LlamaKeys, Rope, UnstatedFactor};
pub use pieces::UnigramModel;
pub(crate) use pieces::unigram_model;
#[cfg(test)]
pub(crate) use pieces::unigram_proto;
pub use pieces::{Piece, PieceKind, SentencePieces};
pub use template::Template;
pub use tokenizer::{PromptError, PromptTokenizer, TokenIds};

/// Slots of the text sequence. A longer prompt is refused.
pub const MAX_TOKENS: usize = 1024;
