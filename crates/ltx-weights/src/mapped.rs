//! A file, mapped into memory read-only: headers are looked at in the map, weights are read out of the file.
//!
//! Must not know its format. The only home of `mmap`.
#![allow(unsafe_code)]

use crate::{Result, WeightsError};
use memmap2::{Advice, Mmap, UncheckedAdvice};
use std::{
    fs::{self, File, Metadata},
    io,
    ops::Range,
    os::unix::fs::{FileExt, FileTypeExt},
    path::Path,
};

/// Ranges below this many bytes are not given back: they share pages with their neighbours.
const WORTH_RELEASING: usize = 1 << 20;

/// Refuses what is there and is neither a file nor a folder: a pipe, a socket or a device, at which opening or reading may wait
/// without end. Links are followed.
///
/// # Errors
/// It is one of those, or there is nothing.
pub(crate) fn check_regular(path: &Path) -> Result<()> {
    let read_error = |source| WeightsError::Read { file: path.to_owned(), source };
    let kind = fs::metadata(path).map_err(read_error)?.file_type();
    if kind.is_file() || kind.is_dir() {
        return Ok(());
    }
    let found = match kind {
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(WeightsError::NotAFile { file: path.to_owned(), found })
}

/// The bytes of a file.
pub(crate) struct Mapped {
    map: Mmap,
    file: File,
}

impl Mapped {
    /// Maps a file; nothing of it is read yet.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        check_regular(path)?;
        let read_error = |source| WeightsError::Read { file: path.to_owned(), source };
        let file = File::open(path).map_err(read_error)?;
        // SAFETY: the map is read-only and private to this process. A file that another process truncates while its header
        // is looked at, or while it is quantised, would fault; operators replace checkpoints by renaming, and the README says
        // so. Weights are read by `read`, which says so instead.
        let map = unsafe { Mmap::map(&file) }.map_err(read_error)?;
        Ok(Self { map, file })
    }

    /// The whole file.
    pub(crate) fn all(&self) -> &[u8] {
        &self.map
    }

    /// What the system says of the file that is open.
    ///
    /// # Errors
    /// The system's reason.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// A part of it; nothing where the file does not reach.
    pub(crate) fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.map.get(range.clone()).unwrap_or_default()
    }

    /// Reads the bytes from `start` on into `buffer`, past the map, so that a file which has become shorter is an error and no
    /// page of it counts as this process' memory.
    ///
    /// # Errors
    /// The system's reason; `UnexpectedEof` where the file now ends too early.
    pub(crate) fn read(&self, start: usize, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, start as u64).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::new(error.kind(), "the file has become shorter since it was opened")
            }
            _ => error,
        })
    }

    /// Tells the system that a range will be read soon, so that the disk works ahead. Only advice.
    pub(crate) fn expect(&self, range: &Range<usize>) {
        let _ = self.map.advise_range(Advice::WillNeed, range.start, range.len());
    }

    /// Lets go of a range's pages once it was copied out, so that they do not count as this process' memory. Only
    /// advice: a later read maps them again.
    pub(crate) fn release(&self, range: &Range<usize>) {
        if range.len() >= WORTH_RELEASING && range.end <= self.map.len() {
            // SAFETY: the map is read-only and backed by the file, so a dropped page comes back with the same bytes.
            let _ = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
        }
    }
}
