//! Where files lie: in JetStream's object store, or in a bucket of an S3 service. Each is there whole or not at all.
//!
//! Must not know what is in them, whose they are, nor when they may go.

mod credentials;
mod jetstream;
mod s3;
mod s3_errors;
mod s3_start;
mod unfinished;

pub use s3::Bucket;
pub(crate) use {jetstream::JetStream, s3::S3, s3_start::Place};

use crate::{
    Cluster,
    connection::PATIENCE,
    error::{stopped_by, unavailable},
};
use ltx_jobs::{JobsError, Result, ports::Shelf};
use std::{
    future::Future,
    io::{self, Cursor, Seek},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// How long a file may take beside its bytes.
const FILE: Duration = Duration::from_secs(60);

/// Bytes a second that a connection must bring at least.
const SLOWEST: u64 = 256 << 10;

/// How long bytes of a file may not come that is read.
const PAUSE: Duration = Duration::from_secs(2);

/// How long so many bytes may take to be kept.
fn longest(bytes: u64) -> Duration {
    FILE + Duration::from_secs(bytes / SLOWEST)
}

pub(crate) fn named(shelf: Shelf) -> &'static str {
    match shelf {
        Shelf::Images => "images",
        Shelf::Latents => "latents",
        Shelf::Outputs => "outputs",
    }
}

/// Where files lie.
#[derive(Clone)]
pub(crate) enum Files {
    /// With the records, in NATS.
    JetStream(Arc<JetStream>),
    /// In a bucket.
    S3(Arc<S3>),
}

/// What is to be kept.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// Those of a file of this machine.
    File(PathBuf),
}

/// A file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its name on its shelf.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// What tells it from every other file, those that will be put under the same name included.
    pub(crate) mark: String,
    /// Where the store has it.
    place: String,
    /// Whether it can be read: not so where whoever put it has not come to the end, or never will.
    pub(crate) whole: bool,
}

/// Why a file was not kept, read or removed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The store cannot be reached, or does not do it.
    Away(String),
    /// It takes no more.
    Full,
    /// What it says of a file is not what it should be.
    Corrupt,
    /// A file of this machine failed.
    Local(PathBuf, io::Error),
}

impl From<Failed> for JobsError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Away(why) => unavailable(why),
            Failed::Full => Self::StorageFull { free: 0, needed: 0, source: None },
            Failed::Corrupt => Self::Corrupt { what: "file's description" },
            Failed::Local(path, source) => stopped_by(path, source),
        }
    }
}

impl Source {
    /// Its length, and its bytes from the beginning.
    async fn open(&self) -> Result<(u64, Box<dyn AsyncRead + Send + Unpin>), Failed> {
        match self {
            Self::Bytes(bytes) => Ok((bytes.len() as u64, Box::new(Cursor::new(Arc::clone(bytes))))),
            Self::File(path) => {
                let failed = |source| Failed::Local(path.clone(), source);
                let file = tokio::fs::File::open(path).await.map_err(failed)?;
                let bytes = file.metadata().await.map_err(failed)?.len();
                Ok((bytes, Box::new(file)))
            }
        }
    }

    /// What a failed read of it is.
    fn unreadable(&self, source: io::Error) -> Failed {
        let path = match self {
            Self::Bytes(_) => PathBuf::new(),
            Self::File(path) => path.clone(),
        };
        Failed::Local(path, source)
    }
}

impl Files {
    /// Keeps a file; one of that name is replaced.
    pub(crate) async fn put(&self, shelf: Shelf, name: &str, source: &Source) -> Result<(), Failed> {
        match self {
            Self::JetStream(store) => store.put(shelf, name, source).await,
            Self::S3(store) => store.put(shelf, name, source).await,
        }
    }

    /// Copies a file's bytes, some at a time. Whether there is one.
    pub(crate) async fn read(
        &self,
        shelf: Shelf,
        name: &str,
        into: &mut (impl AsyncWrite + Send + Unpin),
    ) -> Result<bool, Failed> {
        match self {
            Self::JetStream(store) => store.read(shelf, name, into).await,
            Self::S3(store) => store.read(shelf, name, into).await,
        }
    }

    /// A file's length; `None` where there is none.
    pub(crate) async fn length(&self, shelf: Shelf, name: &str) -> Result<Option<u64>, Failed> {
        match self {
            Self::JetStream(store) => store.length(shelf, name).await,
            Self::S3(store) => store.length(shelf, name).await,
        }
    }

    /// Everything under these names, what is not whole included.
    pub(crate) async fn these(&self, shelf: Shelf, names: &[String]) -> Result<Vec<Found>, Failed> {
        match self {
            Self::JetStream(store) => store.these(shelf, names).await,
            Self::S3(store) => store.these(shelf, names).await,
        }
    }

    /// Everything whose name is this, or has it for a folder; on the whole shelf without one.
    pub(crate) async fn all(&self, shelf: Shelf, folder: Option<&str>) -> Result<Vec<Found>, Failed> {
        match self {
            Self::JetStream(store) => store.all(shelf, folder).await,
            Self::S3(store) => store.all(shelf, folder).await,
        }
    }

    /// Removes a file as it was found; an image that was put since stays. What is gone is removed already.
    pub(crate) async fn remove(&self, shelf: Shelf, found: &Found) -> Result<(), Failed> {
        match self {
            Self::JetStream(store) => store.remove(shelf, found).await,
            Self::S3(store) => store.remove(shelf, found).await,
        }
    }

    /// What a shelf is called in messages.
    pub(crate) fn place(&self, shelf: Shelf) -> PathBuf {
        match self {
            Self::JetStream(store) => store.place(shelf),
            Self::S3(store) => store.place(shelf),
        }
    }
}

impl Cluster {
    /// Asks where files lie, and waits here for the answer.
    ///
    /// # Errors
    /// `Unavailable`, `StorageFull`, `File`.
    fn ask<T, F>(&self, question: impl FnOnce(Files) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failed>> + Send + 'static,
    {
        let answer = question(self.files.clone());
        let answered = match self.files {
            Files::JetStream(_) => self.connection.wait(answer),
            Files::S3(_) => self.connection.run(answer),
        };
        Ok(answered??)
    }

    /// The same, again and again as long as whoever asks for a client waits.
    fn ask_patiently<T, F>(&self, mut question: impl FnMut(Files) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failed>> + Send + 'static,
    {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.ask(&mut question) {
                Err(JobsError::Unavailable { why, .. }) => self.connection.again_until(until, why)?,
                answered => return answered,
            }
        }
    }

    pub(crate) fn put(&self, shelf: Shelf, name: &str, source: &Source) -> Result<()> {
        let (name, source) = (name.to_owned(), source.clone());
        self.ask(|files| async move { files.put(shelf, &name, &source).await })
    }

    pub(crate) fn put_patiently(&self, shelf: Shelf, name: &str, source: &Source) -> Result<()> {
        self.ask_patiently(|files| {
            let (name, source) = (name.to_owned(), source.clone());
            async move { files.put(shelf, &name, &source).await }
        })
    }

    /// A file's bytes; `None` where there is none.
    pub(crate) fn get(&self, shelf: Shelf, name: &str) -> Result<Option<Vec<u8>>> {
        self.ask_patiently(|files| {
            let name = name.to_owned();
            async move {
                let mut bytes = Vec::new();
                Ok(files.read(shelf, &name, &mut bytes).await?.then_some(bytes))
            }
        })
    }

    /// A file, open, without a name on this machine; `None` where there is none.
    pub(crate) fn fetch(&self, shelf: Shelf, name: &str) -> Result<Option<std::fs::File>> {
        let spool: Arc<Path> = Arc::from(self.spool.as_path());
        let mut file = self.ask_patiently(|files| {
            let (name, spool) = (name.to_owned(), Arc::clone(&spool));
            async move {
                let failed = |source| Failed::Local(spool.to_path_buf(), source);
                let file = tempfile::tempfile_in(&spool).map_err(failed)?;
                let mut into = tokio::fs::File::from_std(file.try_clone().map_err(failed)?);
                Ok(files.read(shelf, &name, &mut into).await?.then_some(file))
            }
        })?;
        if let Some(file) = &mut file {
            file.rewind().map_err(|source| stopped_by(self.spool.clone(), source))?;
        }
        Ok(file)
    }

    pub(crate) fn length_of(&self, shelf: Shelf, name: &str) -> Result<Option<u64>> {
        self.ask_patiently(|files| {
            let name = name.to_owned();
            async move { files.length(shelf, &name).await }
        })
    }

    pub(crate) fn found(&self, shelf: Shelf, names: Vec<String>) -> Result<Vec<Found>> {
        let names: Arc<[String]> = names.into();
        self.ask_patiently(|files| {
            let names = Arc::clone(&names);
            async move { files.these(shelf, &names).await }
        })
    }

    pub(crate) fn everything(&self, shelf: Shelf, folder: Option<&str>) -> Result<Vec<Found>> {
        let folder = folder.map(str::to_owned);
        self.ask(|files| async move { files.all(shelf, folder.as_deref()).await })
    }

    /// Removes files as they were found.
    pub(crate) fn remove_found(&self, shelf: Shelf, found: Vec<Found>) -> Result<()> {
        if found.is_empty() {
            return Ok(());
        }
        self.ask(|files| async move {
            for found in &found {
                files.remove(shelf, found).await?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_take_longer_the_larger_it_is() {
        assert_eq!(longest(0), FILE);
        assert!(longest(1 << 30) > longest(1 << 20), "whatever its size, it is given up at last");
    }
}
