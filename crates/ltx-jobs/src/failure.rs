//! Why a generation that was accepted did not end in outputs.
//!
//! Must not know gRPC codes.

use crate::{DeviceError, JobsError, LoadError};
use ltx_engine::{ErrorKind, says_disk_full};
use ltx_types::{causes, sentence};
use serde::{Deserialize, Serialize};
use std::error::Error;

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
    /// An output could not be signed.
    Signature,
    /// The engine failed.
    Engine,
}

impl FailureCode {
    /// Every code.
    pub const ALL: [Self; 9] = [
        Self::Refused,
        Self::Invalid,
        Self::Image,
        Self::StorageFull,
        Self::ModelUnavailable,
        Self::Panicked,
        Self::Crashed,
        Self::Signature,
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
            Self::Signature => "SIGNATURE",
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
            DeviceError::Generate(error) => code_of(error.kind())?,
            DeviceError::Load { source: LoadError::Engine(error), .. } if error.kind() == ErrorKind::DiskFull => {
                FailureCode::StorageFull
            }
            DeviceError::Load { .. } | DeviceError::Gone => FailureCode::ModelUnavailable,
            DeviceError::Panicked { .. } => FailureCode::Panicked,
        };
        Some(Self { code, message: sentence(error) })
    }
}

/// The code of an engine's error; `None` when it was only told to stop.
fn code_of(kind: ErrorKind) -> Option<FailureCode> {
    match kind {
        ErrorKind::Cancelled => None,
        ErrorKind::Request => Some(FailureCode::Invalid),
        ErrorKind::Image => Some(FailureCode::Image),
        ErrorKind::DiskFull => Some(FailureCode::StorageFull),
        ErrorKind::Output | ErrorKind::Model | ErrorKind::OutOfMemory | ErrorKind::Failed => Some(FailureCode::Engine),
    }
}

/// Whether a full disk, a quota or a file size limit is among the causes.
pub(crate) fn storage_full(error: &(dyn Error + 'static)) -> bool {
    says_disk_full(error)
        || causes(error).any(|cause| {
            let sqlite_full = cause.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
            let ours_full = matches!(cause.downcast_ref::<JobsError>(), Some(JobsError::StorageFull { .. }));
            ours_full || sqlite_full == Some(rusqlite::ErrorCode::DiskFull)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ltx_engine::{EngineError, NotKept};
    use ltx_types::{Cancelled, FieldError};
    use std::io;

    fn full() -> io::Error {
        io::ErrorKind::StorageFull.into()
    }

    #[test]
    fn a_full_disk_is_seen_through_every_wrapping() {
        let code = |error: DeviceError| Failure::from_device(&error).unwrap().code;
        let latent = || EngineError::from(NotKept { file: "latent".into(), source: full() });
        assert_eq!(code(DeviceError::Generate(latent())), FailureCode::StorageFull);
        let load = |source| DeviceError::Load { model: "m".into(), source };
        assert_eq!(code(load(latent().into())), FailureCode::StorageFull);
        assert_eq!(code(load(LoadError::NotHere)), FailureCode::ModelUnavailable);
        assert!(storage_full(&JobsError::file("x")(full())));
    }

    #[test]
    fn a_failure_says_what_the_engine_said() {
        let failure = |error: EngineError| Failure::from_device(&DeviceError::Generate(error));
        assert_eq!(failure(Cancelled.into()), None);
        let field = failure(FieldError::new("steps", 1, "is too few").into()).unwrap();
        assert_eq!((field.code, field.message), (FailureCode::Invalid, "steps: 1 is too few".to_owned()));
        let source = io::Error::other("why");
        let latent = failure(NotKept { file: "/x/latent".into(), source }.into()).unwrap();
        assert_eq!(latent.message, "/x/latent: tensors cannot be written or read: why");
        assert_eq!(latent.code, FailureCode::Engine);
    }
}
