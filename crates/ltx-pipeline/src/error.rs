//! What can stop a generation once it was admitted.
//!
//! Must not know exit codes or gRPC codes.

use ltx_engine::{EngineError, ErrorKind, NotKept, is_disk_full, says_disk_full};
use ltx_nn::NnError;
use ltx_types::{Cancelled, FieldError, Part, causes};
use ltx_weights::WeightsError;
use std::{error::Error, io, path::PathBuf};

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
    Weights(#[from] WeightsError),
    /// A layer failed.
    #[error(transparent)]
    Nn(#[from] NnError),
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
    #[error("{}: {} missing; name the files that hold it beside this one, as components", file.display(), names(parts))]
    MissingParts {
        /// The first of the files.
        file: PathBuf,
        /// What is not in any of them.
        parts: Vec<Part>,
    },
    /// The model's manifest states a version that is none of its files' family.
    #[error(
        "{}: it is of the family {family}, and the model's manifest states the version {version}, which is not; state the files' own",
        file.display()
    )]
    OtherVersion {
        /// The checkpoint.
        file: PathBuf,
        /// What the manifest states.
        version: String,
        /// What the files are.
        family: &'static str,
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
        source: NnError,
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
    /// The file holds what a language model sees images with, and no language model.
    #[error("{}: only the vision side of a model (mmproj), which is left alone here; name the language model's file", file.display())]
    VisionAlone {
        /// The file.
        file: PathBuf,
    },
    /// The file holds weights of something else.
    #[error("{}: no LTX file that this engine knows (not an LTX checkpoint or a part of one, a latent upscaler, a LoRA or a \
        Gemma-3 text encoder); its keys begin with {keys}", file.display())]
    UnknownKind {
        /// The file.
        file: PathBuf,
        /// How some of its keys begin.
        keys: String,
    },
    /// Another generation of LTX, another layout, another part of a model, or a model of somebody else.
    #[error("{}: this is {} {title} ({sign}); {instead}", file.display(), article(title))]
    Foreign {
        /// The file or folder.
        file: PathBuf,
        /// What it is.
        title: String,
        /// How that was seen.
        sign: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// A folder given for a checkpoint holds a part of one twice.
    #[error("{}: holds the {part} twice, in {} and in {}; name the files instead of the folder", folder.display(), files[0].display(), files[1].display())]
    SeveralInFolder {
        /// The folder.
        folder: PathBuf,
        /// The part.
        part: &'static str,
        /// Two of the files.
        files: [PathBuf; 2],
    },
    /// A folder given for a checkpoint holds none.
    #[error("{}: no safetensors or GGUF file of an LTX checkpoint in this folder, nor in ComfyUI's folders under it", folder.display())]
    NothingInFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// Two stages were asked for, and the model has no upscaler.
    #[error("stages: two stages need the ×2 latent upscaler; name its file, or ask for one stage")]
    NoUpscaler,
    /// A model's upscaler is of a kind that stands between no two stages.
    #[error("{}: a {title} latent upscaler, which is recognised and not used: {why}; name the spatial ×2 one", file.display())]
    UpscalerOfNoFlow {
        /// The file.
        file: PathBuf,
        /// Which it is.
        title: &'static str,
        /// Why it is not used.
        why: &'static str,
    },
    /// The video VAE's decoder draws frames by kernels that a GPU does not have here.
    #[error(
        "{}: a video VAE with a diffusion decoder, which runs on the CPU alone; take the convolutional one \
         (ltx-2.5-video-vae-conv-bf16.safetensors), or compute on the CPU (--device cpu)",
        file.display()
    )]
    DecoderOnGpu {
        /// The file.
        file: PathBuf,
    },
    /// Two stages were asked for, and a LoRA of the second one is not here.
    #[error(
        "{}: the LoRA file of the second stage is not here; put it there (`ltxd models` says from where), or ask for one stage",
        file.display()
    )]
    AbsentLora {
        /// Where it should be.
        file: PathBuf,
    },
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
    /// The state of the generation cannot be kept.
    #[error(transparent)]
    NotKept(#[from] NotKept),
    /// A case's tensors cannot be read.
    #[error("{}: tensors cannot be written or read", file.display())]
    Tensors {
        /// The file.
        file: PathBuf,
        /// candle's reason.
        #[source]
        source: Box<candle_core::Error>,
    },
}

/// `a` or `an`, as the title is read.
fn article(title: &str) -> &'static str {
    let vowels = ["LTX", "image", "A", "E", "I", "O"];
    if vowels.iter().any(|start| title.starts_with(start)) { "an" } else { "a" }
}

/// Names with commas between.
fn names(parts: &[Part]) -> String {
    parts.iter().map(|part| part.name()).collect::<Vec<_>>().join(", ")
}

impl From<candle_core::Error> for PipelineError {
    fn from(source: candle_core::Error) -> Self {
        Self::Nn(source.into())
    }
}

impl PipelineError {
    /// What kind of thing went wrong, as those see it who know the engine's interface alone.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Cancelled(_) | Self::Weights(WeightsError::Cancelled(_)) => ErrorKind::Cancelled,
            error if is_of_full_disk(error) => ErrorKind::DiskFull,
            Self::Field(_)
            | Self::Prompt(_)
            | Self::NoUpscaler
            | Self::AbsentLora { .. }
            | Self::TooLittleMemory { .. } => ErrorKind::Request,
            Self::Media(error) => ErrorKind::of_media(error),
            Self::Nn(NnError::OutOfDeviceMemory { .. }) => ErrorKind::OutOfMemory,
            Self::Nn(NnError::Tensor { .. } | NnError::Unreadable { .. })
            | Self::Weights(WeightsError::Read { .. } | WeightsError::Write { .. })
            | Self::Read { .. }
            | Self::NotFinite { .. }
            | Self::NotKept(_)
            | Self::Tensors { .. } => ErrorKind::Failed,
            Self::Weights(_)
            | Self::Nn(_)
            | Self::BadJson { .. }
            | Self::MissingParts { .. }
            | Self::Config { .. }
            | Self::OtherFamily { .. }
            | Self::OtherVersion { .. }
            | Self::UpscalerOfNoFlow { .. }
            | Self::DecoderOnGpu { .. }
            | Self::Tokenizer { .. }
            | Self::NotATextEncoder { .. }
            | Self::VisionAlone { .. }
            | Self::Foreign { .. }
            | Self::SeveralInFolder { .. }
            | Self::NothingInFolder { .. }
            | Self::UnknownKind { .. }
            | Self::PartsDiffer { .. } => ErrorKind::Model,
        }
    }
}

impl From<PipelineError> for EngineError {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Cancelled(error) => error.into(),
            PipelineError::Field(error) => error.into(),
            PipelineError::Media(error) => error.into(),
            PipelineError::NotKept(error) => error.into(),
            error => Self::new(error.kind(), error),
        }
    }
}

/// Whether a full disk, a quota or a file size limit is among the causes. candle hides the system's error in its own.
fn is_of_full_disk(error: &PipelineError) -> bool {
    // A boxed source stands in the chain as its box.
    let of_candle = |cause: &(dyn Error + 'static)| {
        let boxed = cause.downcast_ref::<Box<candle_core::Error>>().map(|error| &**error);
        cause.downcast_ref::<candle_core::Error>().or(boxed).is_some_and(hides_full_disk)
    };
    says_disk_full(error) || causes(error).any(of_candle)
}

fn hides_full_disk(error: &candle_core::Error) -> bool {
    use candle_core::Error::{Context, Io, WithBacktrace, WithPath};
    match error {
        Io(error) => is_disk_full(error),
        Context { inner, .. } | WithPath { inner, .. } | WithBacktrace { inner, .. } => hides_full_disk(inner),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ltx_types::sentence;

    fn full() -> io::Error {
        io::ErrorKind::StorageFull.into()
    }

    #[test]
    fn a_full_disk_is_seen_through_every_wrapping() {
        let kind = |error: PipelineError| EngineError::from(error).kind();
        let tensors =
            |source: candle_core::Error| PipelineError::Tensors { file: "latent".into(), source: source.into() };
        assert_eq!(kind(tensors(full().into())), ErrorKind::DiskFull);
        assert_eq!(kind(tensors(candle_core::Error::from(full()).with_path("x").context("y"))), ErrorKind::DiskFull);
        assert_eq!(kind(tensors(io::Error::from(io::ErrorKind::NotFound).into())), ErrorKind::Failed);
        assert_eq!(kind(NotKept { file: "latent".into(), source: full() }.into()), ErrorKind::DiskFull);
        assert_eq!(kind(WeightsError::Write { file: "x".into(), source: full() }.into()), ErrorKind::DiskFull);
        let media = ltx_media::MediaError::ImageUnreadable { image: "x".into(), source: full() };
        assert_eq!(kind(media.into()), ErrorKind::DiskFull);
    }

    #[test]
    fn a_device_without_memory_is_told_from_other_failures() {
        let cuda = |text: &str| PipelineError::from(candle_core::Error::Cuda(text.into()));
        assert_eq!(cuda("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")").kind(), ErrorKind::OutOfMemory);
        assert_eq!(cuda("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"\")").kind(), ErrorKind::Failed);
    }

    #[test]
    fn the_engines_error_reads_as_the_pipelines() {
        let unreadable = || PipelineError::Read { file: "x".into(), source: io::ErrorKind::NotFound.into() };
        let error = EngineError::from(unreadable());
        assert_eq!((sentence(&error), error.kind()), (sentence(&unreadable()), ErrorKind::Failed));
        assert!(matches!(error.get_ref().downcast_ref(), Some(PipelineError::Read { .. })));
    }
}
