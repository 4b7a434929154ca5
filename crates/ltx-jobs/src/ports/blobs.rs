//! The files that a node keeps: images of requests and uploads, saved latents, outputs.
//!
//! Must not know what is in them, or to whom they belong.

use crate::{GenerationId, OutputKind, Result};
use ltx_types::ImageSource;
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    path::PathBuf,
};

/// Where files of one kind lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// Images, named by the SHA-256 of their bytes.
    Images,
    /// Saved latents, named by their generation.
    Latents,
    /// Outputs, named by their generation: some files for each.
    Outputs,
}

/// Keeps files, each there whole or not at all.
pub trait Blobs: Send + Sync {
    /// Keeps an image or a latent; one of that name is replaced. Once this has returned it is safe from a power failure.
    ///
    /// # Errors
    /// The disk's.
    fn put_whole(&self, shelf: Shelf, name: &str, chunks: &[&[u8]]) -> io::Result<()>;

    /// The bytes of an image or a latent.
    ///
    /// # Errors
    /// The disk's; `NotFound` where there is none.
    fn read(&self, shelf: Shelf, name: &str) -> io::Result<Vec<u8>>;

    /// Opens an image or a latent.
    ///
    /// # Errors
    /// The disk's; `NotFound` where there is none.
    fn open(&self, shelf: Shelf, name: &str) -> io::Result<File>;

    /// The length of an image or a latent; `None` where there is none.
    fn length(&self, shelf: Shelf, name: &str) -> Option<u64>;

    /// Whether an image of this name and length is there; from now on it is kept as long as one that was just put. To be asked
    /// before one is put, or named by anything.
    ///
    /// # Errors
    /// `Unavailable`.
    fn has(&self, name: &str, bytes: u64) -> Result<bool> {
        Ok(self.length(Shelf::Images, name) == Some(bytes))
    }

    /// What a file is called in messages.
    fn path_of(&self, shelf: Shelf, name: &str) -> PathBuf;

    /// An image as the engine opens it.
    ///
    /// # Errors
    /// `Unavailable`.
    fn image(&self, sha256: &str) -> Result<ImageSource>;

    /// An empty folder of this machine to write a generation's outputs in. What an earlier attempt left is removed.
    ///
    /// # Errors
    /// `File`, `StorageFull`.
    fn begin_outputs(&self, id: GenerationId) -> Result<PathBuf>;

    /// Keeps what was written in that folder: all files at once, replacing nothing.
    ///
    /// # Errors
    /// `File`, `StorageFull`.
    fn publish_outputs(&self, id: GenerationId) -> Result<()>;

    /// Removes that folder; what was published stays.
    ///
    /// # Errors
    /// `File`.
    fn discard_outputs(&self, id: GenerationId) -> Result<()>;

    /// Opens one file of a generation's outputs.
    ///
    /// # Errors
    /// The disk's; `NotFound` where there is none.
    fn open_output(&self, id: GenerationId, kind: OutputKind) -> io::Result<File>;

    /// Everything on a shelf, what a crash left half written included.
    ///
    /// # Errors
    /// `File`.
    fn list(&self, shelf: Shelf) -> Result<Vec<OsString>>;

    /// Removes what has that name. What is not there is removed already.
    ///
    /// # Errors
    /// `File`.
    fn delete(&self, shelf: Shelf, name: &OsStr) -> Result<()>;
}

impl dyn Blobs {
    /// Removes what belongs to a generation.
    ///
    /// # Errors
    /// `File`.
    pub fn delete_of(&self, shelf: Shelf, id: GenerationId) -> Result<()> {
        self.delete(shelf, OsStr::new(&id.to_string()))
    }
}
