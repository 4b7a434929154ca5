//! The entry `general.architecture` of a GGUF file: whether what it names is what the file's tensors are called like.
//!
//! Must not know other entries. Models of others that are known by this entry are refused before this is asked.

use crate::weight_file::WeightFile;

/// How those of LTX's files begin.
const LTX: &str = "ltx";
/// Those of text encoders, and of what a language model sees images with.
const OF_TEXT: [&str; 5] = ["gemma3", "gemma4_unified", "t5", "t5encoder", "clip"];

/// Where official keys begin that no text encoder has, whatever its own are called like.
const OF_LTX: [&str; 4] = [
    "model.diffusion_model.transformer_blocks.",
    "vae.per_channel_statistics.",
    "vae.encoder.conv_in.",
    "vae.decoder.conv_in.",
];

/// What is to be done about an architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// One of those that are read.
    Known,
    /// Nobody's that is known.
    Said,
    /// A text encoder's, of a file that is none.
    Refused,
}

/// Whether a file holds tensors of an LTX model by their official names, so that it is no text encoder.
pub(super) fn is_of_ltx(file: &WeightFile) -> bool {
    OF_LTX.into_iter().any(|head| file.header.entries.keys().any(|key| key.starts_with(head)))
}

pub(super) fn judged(file: &WeightFile, architecture: &str) -> Verdict {
    match architecture.trim().to_ascii_lowercase() {
        name if name.starts_with(LTX) => Verdict::Known,
        name if !OF_TEXT.contains(&name.as_str()) => Verdict::Said,
        _ if is_of_ltx(file) => Verdict::Refused,
        _ => Verdict::Known,
    }
}
