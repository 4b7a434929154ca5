//! A file, mapped into memory read-only.
//!
//! Must not know its format. The only home of `mmap`.
#![allow(unsafe_code)]

use crate::{Result, WeightsError};
use memmap2::{Mmap, UncheckedAdvice};
use std::{fs::File, ops::Range, path::Path};

/// Ranges below this many bytes are not given back: they share pages with their neighbours.
const WORTH_RELEASING: usize = 1 << 20;

/// The bytes of a file.
pub(crate) struct Mapped(Mmap);

impl Mapped {
    /// Maps a file; nothing of it is read yet.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let read_error = |source| WeightsError::Read { file: path.to_owned(), source };
        let file = File::open(path).map_err(read_error)?;
        // SAFETY: the map is read-only and private to this process. A checkpoint that another process truncates while
        // it is mapped would fault; operators replace checkpoints by renaming, and the README says so.
        Ok(Self(unsafe { Mmap::map(&file) }.map_err(read_error)?))
    }

    /// The whole file.
    pub(crate) fn all(&self) -> &[u8] {
        &self.0
    }

    /// A part of it; nothing where the file does not reach.
    pub(crate) fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.0.get(range.clone()).unwrap_or_default()
    }

    /// Lets go of a range's pages once it was copied out, so that they do not count as this process' memory. Only
    /// advice: a later read maps them again.
    pub(crate) fn release(&self, range: &Range<usize>) {
        if range.len() >= WORTH_RELEASING && range.end <= self.0.len() {
            // SAFETY: the map is read-only and backed by the file, so a dropped page comes back with the same bytes.
            let _ = unsafe { self.0.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
        }
    }
}
