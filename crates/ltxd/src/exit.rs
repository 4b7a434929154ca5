//! Errors to exit codes.
//!
//! Must not know which command failed.

use ltx_media::MediaError;
use ltx_pipeline::{PipelineError, golden::GoldenError};
use ltx_policy::Refusal;
use ltx_types::{Cancelled, FieldError};
use ltx_weights::WeightsError;
use std::process::ExitCode;

/// Shown under `--help`.
pub(crate) const HELP: &str = "Exit codes: 0 done; 1 failed (a file cannot be read or written, a self-test deviates); \
2 bad input or refused (a field, an image, a checkpoint that is not what it should be, a request outside the unlimited \
class); 130 cancelled.";

const FAILED: u8 = 1;
const BAD_INPUT: u8 = 2;
const CANCELLED: u8 = 130;

/// Input that a command itself finds wrong.
#[derive(Debug)]
pub(crate) struct BadInput(pub(crate) String);

impl std::fmt::Display for BadInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadInput {}

/// Prints an error with its causes and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // A transparent error repeats its source's words.
        if !line.ends_with(&cause) {
            line = if line.is_empty() { cause } else { format!("{line}: {cause}") };
        }
    }
    eprintln!("ltxd: {line}");
    ExitCode::from(error.chain().map(code_of).find(|code| *code != FAILED).unwrap_or(FAILED))
}

fn code_of(error: &(dyn std::error::Error + 'static)) -> u8 {
    if error.is::<Cancelled>() {
        return CANCELLED;
    }
    if error.is::<FieldError>() || error.is::<Refusal>() || error.is::<BadInput>() {
        return BAD_INPUT;
    }
    if let Some(error) = error.downcast_ref::<MediaError>() {
        return code_of_media(error);
    }
    if let Some(error) = error.downcast_ref::<WeightsError>() {
        return if matches!(error, WeightsError::Read { .. }) { FAILED } else { BAD_INPUT };
    }
    if let Some(error) = error.downcast_ref::<GoldenError>() {
        return match error {
            GoldenError::Engine(error) => code_of_pipeline(error),
            GoldenError::Read { .. } => FAILED,
            _ => BAD_INPUT,
        };
    }
    error.downcast_ref::<PipelineError>().map_or(FAILED, code_of_pipeline)
}

fn code_of_pipeline(error: &PipelineError) -> u8 {
    match error {
        PipelineError::Cancelled(_) => CANCELLED,
        PipelineError::Field(_)
        | PipelineError::Prompt(_)
        | PipelineError::BadJson { .. }
        | PipelineError::Config { .. }
        | PipelineError::Tokenizer { .. }
        | PipelineError::NotATextEncoder { .. }
        | PipelineError::UnknownKind { .. }
        | PipelineError::NoUpscaler
        | PipelineError::PartsDiffer { .. } => BAD_INPUT,
        PipelineError::Media(error) => code_of_media(error),
        PipelineError::Weights(error) => code_of(error),
        PipelineError::Nn(error) => match error {
            ltx_nn::NnError::Tensor { .. } => FAILED,
            _ => BAD_INPUT,
        },
        PipelineError::Read { .. } | PipelineError::NotFinite { .. } | PipelineError::Tensors { .. } => FAILED,
    }
}

fn code_of_media(error: &MediaError) -> u8 {
    match error {
        MediaError::ImageUnreadable { .. }
        | MediaError::ImageEmpty { .. }
        | MediaError::ImageFileTooLarge { .. }
        | MediaError::ImageFormat { .. }
        | MediaError::ImageTooLarge { .. }
        | MediaError::ImageCorrupt { .. }
        | MediaError::ImageTruncated { .. }
        | MediaError::FrameShape { .. }
        | MediaError::NoFolder { .. }
        | MediaError::IsFolder { .. }
        | MediaError::NotAFolder { .. }
        | MediaError::FolderNotEmpty { .. } => BAD_INPUT,
        _ => FAILED,
    }
}
