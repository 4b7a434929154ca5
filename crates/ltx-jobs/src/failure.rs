//! Why a generation that was accepted did not end in outputs.
//!
//! Must not know gRPC codes.

use crate::{DeviceError, JobsError};
use ltx_pipeline::PipelineError;
use ltx_types::{causes, sentence};
use serde::{Deserialize, Serialize};
use std::{error::Error, io};

/// The kind of a failure; clients match on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureCode {
    /// Judged again after a restart, it is no longer of the unlimited class.
    Refused,
    /// A field does not suit the model.
    Invalid,
    /// An image cannot be decoded any more.
    Image,
    /// The disk took no more.
    StorageFull,
    /// The model could not be loaded.
    ModelUnavailable,
    /// The engine panicked; it was built anew.
    Panicked,
    /// The node died under it too often.
    Crashed,
    /// The engine failed.
    Engine,
}

impl FailureCode {
    /// Every code.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::Invalid,
        Self::Image,
        Self::StorageFull,
        Self::ModelUnavailable,
        Self::Panicked,
        Self::Crashed,
        Self::Engine,
    ];

    /// The stored and shown name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "REFUSED",
            Self::Invalid => "INVALID",
            Self::Image => "IMAGE",
            Self::StorageFull => "STORAGE_FULL",
            Self::ModelUnavailable => "MODEL_UNAVAILABLE",
            Self::Panicked => "PANICKED",
            Self::Crashed => "CRASHED",
            Self::Engine => "ENGINE",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

/// A code, and a sentence for people (never the prompt).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind.
    pub code: FailureCode,
    /// The error and its causes.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(code: FailureCode, error: &(dyn Error + 'static)) -> Self {
        let code = if storage_full(error) { FailureCode::StorageFull } else { code };
        Self { code, message: sentence(error) }
    }

    /// The node died under it this often in a row, without a step in between.
    pub(crate) fn crashed(times: u32) -> Self {
        let message = format!("the node died {times} times in a row while this ran, without a single new step");
        Self { code: FailureCode::Crashed, message }
    }

    /// From what the device said; `None` when it was only told to stop.
    pub(crate) fn from_device(error: &DeviceError) -> Option<Self> {
        let code = match error {
            DeviceError::Generate(error) if matches!(**error, PipelineError::Cancelled(_)) => return None,
            DeviceError::Generate(error) => code_of(error),
            DeviceError::Load { .. } | DeviceError::Gone => FailureCode::ModelUnavailable,
            DeviceError::Panicked { .. } => FailureCode::Panicked,
        };
        Some(Self::new(code, error))
    }
}

fn code_of(error: &PipelineError) -> FailureCode {
    match error {
        PipelineError::Field(_) | PipelineError::Prompt(_) | PipelineError::NoUpscaler => FailureCode::Invalid,
        PipelineError::Media(error) if error.is_of_image() => FailureCode::Image,
        _ => FailureCode::Engine,
    }
}

/// Whether a full disk, a quota or a file size limit is among the causes.
pub(crate) fn storage_full(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        let io_full = cause.downcast_ref::<io::Error>().is_some_and(is_full);
        let sqlite_full = cause.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
        // A boxed source stands in the chain as its box.
        let boxed = cause.downcast_ref::<Box<candle_core::Error>>().map(|error| &**error);
        let candle_full = cause.downcast_ref::<candle_core::Error>().or(boxed).is_some_and(is_candle_full);
        let ours_full = matches!(cause.downcast_ref::<JobsError>(), Some(JobsError::StorageFull { .. }));
        ours_full || io_full || candle_full || sqlite_full == Some(rusqlite::ErrorCode::DiskFull)
    })
}

/// candle hides the system's error in its own, not among the causes.
fn is_candle_full(error: &candle_core::Error) -> bool {
    use candle_core::Error::{Context, Io, WithBacktrace, WithPath};
    match error {
        Io(error) => is_full(error),
        Context { inner, .. } | WithPath { inner, .. } | WithBacktrace { inner, .. } => is_candle_full(inner),
        _ => false,
    }
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_seen_through_every_wrapping() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let tensors =
            |source: candle_core::Error| PipelineError::Tensors { file: "latent".into(), source: source.into() };
        let code = |error: PipelineError| Failure::from_device(&DeviceError::Generate(error.into())).unwrap().code;
        assert_eq!(code(tensors(full().into())), FailureCode::StorageFull);
        assert_eq!(
            code(tensors(candle_core::Error::from(full()).with_path("x").context("y"))),
            FailureCode::StorageFull
        );
        assert_eq!(code(tensors(io::Error::from(io::ErrorKind::NotFound).into())), FailureCode::Engine);
        assert!(storage_full(&JobsError::file("x")(full())));
    }
}
