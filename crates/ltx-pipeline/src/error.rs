//! What can stop a generation once it was admitted.
//!
//! Must not know exit codes or gRPC codes.

use ltx_types::{Cancelled, FieldError};
use std::{io, path::PathBuf};

/// Result of everything in this crate.
pub type Result<T, E = PipelineError> = std::result::Result<T, E>;

/// Why a generation, an inspection or a self-test did not finish.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Somebody asked it to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A field of the request does not fit this model.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The prompt cannot be used.
    #[error(transparent)]
    Prompt(#[from] ltx_model::text_encoder::PromptError),
    /// An image cannot be read, or an output cannot be written.
    #[error(transparent)]
    Media(#[from] ltx_media::MediaError),
    /// A file of weights cannot be used.
    #[error(transparent)]
    Weights(#[from] ltx_weights::WeightsError),
    /// A layer failed.
    #[error(transparent)]
    Nn(#[from] ltx_nn::NnError),
    /// A file beside the weights cannot be read.
    #[error("{}: cannot be read", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A file beside the weights is not JSON of the expected form.
    #[error("{}: not the JSON that is expected here", file.display())]
    BadJson {
        /// The file.
        file: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// Component files that leave out parts of the model.
    #[error("{}: {} missing; name the files that hold it beside this one, as components", file.display(), parts.join(", "))]
    MissingParts {
        /// The first of the files.
        file: PathBuf,
        /// What is not in any of them.
        parts: Vec<&'static str>,
    },
    /// The files are of another family than the model's manifest names.
    #[error("{}: it is of the family {family}, and the model's manifest names {named}", file.display())]
    OtherFamily {
        /// The checkpoint.
        file: PathBuf,
        /// What the manifest names.
        named: String,
        /// What the files are.
        family: &'static str,
    },
    /// A file states a configuration that this engine cannot run.
    #[error("{}: its configuration is not one this engine runs", file.display())]
    Config {
        /// The file.
        file: PathBuf,
        /// Which field, and what is supported.
        #[source]
        source: ltx_nn::NnError,
    },
    /// A tokenizer file cannot be used.
    #[error("{}: cannot be used", file.display())]
    Tokenizer {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: ltx_model::text_encoder::PromptError,
    },
    /// The folder holds weights of something else.
    #[error("{}: no key of a Gemma-3 language model", folder.display())]
    NotATextEncoder {
        /// The folder.
        folder: PathBuf,
    },
    /// The file holds weights of something else.
    #[error("{}: not an LTX checkpoint, a latent upscaler or a Gemma-3 folder", file.display())]
    UnknownKind {
        /// The file.
        file: PathBuf,
    },
    /// Two stages were asked for, and the model has no upscaler.
    #[error("stages: two stages need the ×2 latent upscaler; name its file, or ask for one stage")]
    NoUpscaler,
    /// The budget does not hold what the request needs even with everything streamed.
    #[error(
        "memory{}: {budget} bytes are too little for this request, which needs {least} ({stage}); nearest legal: {least}",
        if *gpu { " of the GPU" } else { "" }
    )]
    TooLittleMemory {
        /// Whether it is a GPU's memory.
        gpu: bool,
        /// Bytes of the budget.
        budget: u64,
        /// The least budget with which it would run.
        least: u64,
        /// The stage that needs most.
        stage: &'static str,
    },
    /// The parts come from models of different widths.
    #[error("{part}: {found} does not fit the checkpoint, which has {expected}")]
    PartsDiffer {
        /// What differs.
        part: &'static str,
        /// As the part has it.
        found: usize,
        /// As the checkpoint has it.
        expected: usize,
    },
    /// A number that is not finite appeared.
    #[error("{stage}: values that are not finite appeared; the weights or the dtype do not suit this request")]
    NotFinite {
        /// Where.
        stage: &'static str,
    },
    /// Tensors cannot be stored.
    #[error("{}: tensors cannot be written or read", file.display())]
    Tensors {
        /// The file.
        file: PathBuf,
        /// candle's reason.
        #[source]
        source: Box<candle_core::Error>,
    },
}

impl From<candle_core::Error> for PipelineError {
    fn from(source: candle_core::Error) -> Self {
        Self::Nn(source.into())
    }
}
