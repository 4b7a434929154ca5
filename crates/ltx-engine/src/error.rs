//! Why an engine did not do what it was asked to: a kind that callers act on, and the error with its causes for people.
//!
//! Must not know exit codes, gRPC codes, or an engine's own errors.

use crate::NotKept;
use ltx_media::MediaError;
use ltx_types::{Cancelled, FieldError, causes};
use std::{error::Error, fmt, io};

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Somebody asked it to stop.
    Cancelled,
    /// The request does not suit the model or the budget: a field, the prompt, the number of stages, the memory it needs.
    Request,
    /// An image of the request cannot be used.
    Image,
    /// An output cannot be encoded or written.
    Output,
    /// A file of the model is not what it should be.
    Model,
    /// The disk, a quota or a file size limit takes no more.
    DiskFull,
    /// The device that computes has no memory left.
    OutOfMemory,
    /// Anything else: a file that cannot be read, arithmetic that failed.
    Failed,
}

impl ErrorKind {
    /// The kind of an error of images and outputs.
    pub fn of_media(error: &MediaError) -> Self {
        match error {
            error if says_disk_full(error) => Self::DiskFull,
            error if error.is_of_image() => Self::Image,
            _ => Self::Output,
        }
    }
}

/// An engine's error. It reads, and lists its causes, as the error that it was made of.
pub struct EngineError {
    kind: ErrorKind,
    inner: Box<dyn Error + Send + Sync>,
}

impl EngineError {
    /// An error of that kind.
    pub fn new(kind: ErrorKind, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, inner: error.into() }
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The error that it was made of.
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.inner
    }
}

impl fmt::Debug for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?}", self.kind, self.inner)
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Error for EngineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.inner.source()
    }
}

impl From<Cancelled> for EngineError {
    fn from(error: Cancelled) -> Self {
        Self::new(ErrorKind::Cancelled, error)
    }
}

impl From<FieldError> for EngineError {
    fn from(error: FieldError) -> Self {
        Self::new(ErrorKind::Request, error)
    }
}

impl From<MediaError> for EngineError {
    fn from(error: MediaError) -> Self {
        Self::new(ErrorKind::of_media(&error), error)
    }
}

impl From<NotKept> for EngineError {
    fn from(error: NotKept) -> Self {
        Self::new(if is_disk_full(&error.source) { ErrorKind::DiskFull } else { ErrorKind::Failed }, error)
    }
}

/// Whether the system says that the disk, a quota or a file size limit takes no more.
pub fn is_disk_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Whether the system said so ([`is_disk_full`]) anywhere among an error and its causes.
pub fn says_disk_full(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<io::Error>().is_some_and(is_disk_full))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ltx_types::sentence;

    fn not_kept(kind: io::ErrorKind) -> NotKept {
        NotKept { file: "latent".into(), source: kind.into() }
    }

    #[test]
    fn an_error_reads_as_the_one_it_was_made_of() {
        let inner = not_kept(io::ErrorKind::NotFound);
        let said = sentence(&inner);
        let error = EngineError::from(inner);
        assert_eq!((sentence(&error), error.kind()), (said, ErrorKind::Failed));
        assert!(error.get_ref().is::<NotKept>());
    }

    #[test]
    fn a_full_disk_is_a_kind_of_its_own() {
        use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, StorageFull};
        for full in [FileTooLarge, QuotaExceeded, StorageFull] {
            assert_eq!(EngineError::from(not_kept(full)).kind(), ErrorKind::DiskFull);
            let media = MediaError::ImageUnreadable { image: "x".into(), source: full.into() };
            assert_eq!(EngineError::from(media).kind(), ErrorKind::DiskFull);
        }
        let media = MediaError::ImageUnreadable { image: "x".into(), source: PermissionDenied.into() };
        assert_eq!(EngineError::from(media).kind(), ErrorKind::Image);
    }
}
