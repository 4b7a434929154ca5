//! Errors to exit codes.
//!
//! Must not know which command failed.

use crate::{client::fault::Fault, config::ConfigError};
use ltx_catalog::CatalogError;
use ltx_engine::{EngineError, ErrorKind};
use ltx_hub::HubError;
use ltx_media::MediaError;
use ltx_nn::DeviceError;
use ltx_pipeline::{PipelineError, golden::GoldenError};
use ltx_policy::Refusal;
use ltx_provenance::KeyError;
use ltx_server::ServerError;
use ltx_types::{Cancelled, FieldError, FieldErrors};
use ltx_weights::WeightsError;
use std::process::ExitCode;

/// Shown under `--help`.
pub(crate) const HELP: &str = "Exit codes: 0 done; 1 failed (a file cannot be read or written, a file of a model is not here or \
came with wrong bytes, a self-test deviates, a fault of the node); 2 bad input (a field, an image, a checkpoint that is not what it should be, a configuration, a call \
that the generation's state does not allow); 3 refused: outside the unlimited class; 4 the generation failed on the node; \
5 not found, on the node or on the hub; 10 to 14 what verify found; 69 the node or the hub cannot be reached; 75 the node or the hub cannot take it now: \
queue, rate, disk, or it is stopping; 77 the node does not know this client, or the hub gives it no access; 130 cancelled, or stopped by Ctrl-C; 141 nobody reads its output any more.";

/// What a command exits with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Done = 0,
    Failed = 1,
    BadInput = 2,
    Refused = 3,
    GenerationFailed = 4,
    NotFound = 5,
    Unreachable = 69,
    Busy = 75,
    NotAllowed = 77,
    Cancelled = 130,
    /// As a shell has it for a program that SIGPIPE ended.
    NotRead = 141,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

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
    print(error).into()
}

/// The same, for a command that ends the process itself.
pub(crate) fn print(error: &anyhow::Error) -> Code {
    if let Some(fields) = error.downcast_ref::<FieldErrors>() {
        fields.iter().for_each(|field| eprintln!("ltxd: {field}"));
        return Code::BadInput;
    }
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // A transparent error repeats its source's words.
        if !line.ends_with(&cause) {
            line = if line.is_empty() { cause } else { format!("{line}: {cause}") };
        }
    }
    line.lines().for_each(|line| eprintln!("ltxd: {line}"));
    error.chain().map(code_of).find(|code| *code != Code::Failed).unwrap_or(Code::Failed)
}

fn code_of(error: &(dyn std::error::Error + 'static)) -> Code {
    if error.is::<Cancelled>() {
        return Code::Cancelled;
    }
    if error.is::<FieldError>() || error.is::<FieldErrors>() || error.is::<BadInput>() {
        return Code::BadInput;
    }
    if error.is::<Refusal>() {
        return Code::Refused;
    }
    if let Some(fault) = error.downcast_ref::<Fault>() {
        return fault.code;
    }
    if let Some(error) = error.downcast_ref::<ConfigError>() {
        return if matches!(error, ConfigError::Read { .. }) { Code::Failed } else { Code::BadInput };
    }
    if let Some(error) = error.downcast_ref::<ServerError>() {
        return if matches!(error, ServerError::Unprotected { .. }) { Code::BadInput } else { Code::Failed };
    }
    if let Some(error) = error.downcast_ref::<KeyError>() {
        return if error.is_of_the_disk() { Code::Failed } else { Code::BadInput };
    }
    if let Some(error) = error.downcast_ref::<DeviceError>() {
        return if matches!(error, DeviceError::Failed { .. }) { Code::Failed } else { Code::BadInput };
    }
    if let Some(error) = error.downcast_ref::<MediaError>() {
        return code_of_media(error);
    }
    if let Some(error) = error.downcast_ref::<WeightsError>() {
        return code_of_weights(error);
    }
    if let Some(error) = error.downcast_ref::<CatalogError>() {
        let bad = matches!(error, CatalogError::BadManifest { .. } | CatalogError::BadRecord { .. });
        return if bad { Code::BadInput } else { Code::Failed };
    }
    if let Some(error) = error.downcast_ref::<HubError>() {
        return code_of_hub(error);
    }
    if let Some(error) = error.downcast_ref::<EngineError>() {
        return error.get_ref().downcast_ref().map_or_else(|| code_of_kind(error.kind()), code_of_media);
    }
    if let Some(error) = error.downcast_ref::<GoldenError>() {
        return match error {
            GoldenError::Engine(error) => code_of_pipeline(error),
            GoldenError::Read { .. } => Code::Failed,
            _ => Code::BadInput,
        };
    }
    error.downcast_ref::<PipelineError>().map_or(Code::Failed, code_of_pipeline)
}

fn code_of_pipeline(error: &PipelineError) -> Code {
    match error {
        PipelineError::Media(error) => code_of_media(error),
        error => code_of_kind(error.kind()),
    }
}

fn code_of_kind(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Request | ErrorKind::Image | ErrorKind::Model => Code::BadInput,
        ErrorKind::Output | ErrorKind::DiskFull | ErrorKind::OutOfMemory | ErrorKind::Failed => Code::Failed,
    }
}

fn code_of_weights(error: &WeightsError) -> Code {
    match error {
        WeightsError::Read { .. } | WeightsError::Write { .. } => Code::Failed,
        WeightsError::Cancelled(_) => Code::Cancelled,
        _ => Code::BadInput,
    }
}

fn code_of_hub(error: &HubError) -> Code {
    match error {
        HubError::Setting { .. } | HubError::Name { .. } => Code::BadInput,
        HubError::Offline { .. } | HubError::Unreachable { .. } => Code::Unreachable,
        HubError::Denied { .. } => Code::NotAllowed,
        HubError::NotFound { .. } => Code::NotFound,
        HubError::TooMany { .. } => Code::Busy,
        HubError::Status { status, .. } if *status >= 500 || *status == 408 => Code::Busy,
        HubError::Status { .. }
        | HubError::Nonsense { .. }
        | HubError::WrongBytes { .. }
        | HubError::NoSpace { .. }
        | HubError::Full { .. }
        | HubError::Io { .. } => Code::Failed,
    }
}

fn code_of_media(error: &MediaError) -> Code {
    match error {
        error if error.is_of_image() => Code::BadInput,
        MediaError::FrameShape { .. }
        | MediaError::NoFolder { .. }
        | MediaError::IsFolder { .. }
        | MediaError::NotAFolder { .. }
        | MediaError::FolderNotEmpty { .. } => Code::BadInput,
        _ => Code::Failed,
    }
}
