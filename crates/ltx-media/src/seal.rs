//! What an output is given when it is complete, and before it has its name.
//!
//! Must not know signatures; who seals brings them.

use ltx_policy::UsageMark;
use std::{error::Error, path::Path};

/// Why an output could not be sealed.
pub type SealError = Box<dyn Error + Send + Sync>;

/// Adds to an output, once it is complete and while it still lies under a hidden name. An output that is to be sealed and cannot be
/// is never seen.
pub trait Seal: Send + Sync {
    /// Entries of an MP4's metadata that are written beside the mark's, for [`mp4`](Self::mp4) to complete.
    fn entries(&self) -> Vec<(&'static str, String)>;

    /// Adds to an MP4, in its file, and completes its entries.
    ///
    /// # Errors
    /// Whatever the seal's own.
    fn mp4(&self, file: &Path, mark: &UsageMark) -> Result<(), SealError>;

    /// Adds to a PNG.
    ///
    /// # Shapes
    /// `rgb` is `[height, width, 3]`, 8-bit sRGB, as in the PNG.
    ///
    /// # Errors
    /// Whatever the seal's own.
    fn png(&self, png: Vec<u8>, rgb: &[u8], mark: &UsageMark) -> Result<Vec<u8>, SealError>;
}
