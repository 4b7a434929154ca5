//! The data folder of a node alone, for whoever moves what it holds into a service. No node works in it meanwhile, and nothing in it
//! is changed: its database is read in a copy.
//!
//! Must not know where anything is moved to.

use crate::{
    DataFolder, Event, GenerationId, GenerationRecord, JobsError, Result,
    clock::{NodeClock, Now},
    document::Document,
    folder::Moved,
    latent,
    ports::{Blobs, Records, Upkeep},
    sqlite::{MirroredUpload, SqliteStore},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A data folder of a node alone, held and open to be read.
pub struct Alone {
    folder: DataFolder,
    store: SqliteStore,
    /// The node's own time, which goes on while it is moved.
    clock: NodeClock,
}

/// A generation of a node alone.
pub struct LeavingGeneration {
    /// What a service keeps of it. One that ran has been taken up again: it waits, or has ended.
    pub document: Document,
    /// Its place in the folder.
    sequence: i64,
    /// The number of its newest event in the folder.
    pub events: u64,
    /// The sizes and digests of its files of outputs, as they were written.
    pub record: GenerationRecord,
}

impl Alone {
    /// Holds a data folder, and opens a copy of its database in `scratch`.
    ///
    /// # Errors
    /// `NotAlone` where it is no data folder of a node alone; `Moved` where that was moved; `Locked` while a node works in it;
    /// `SchemaTooNew`; `Database`, `StorageFull`, `File`.
    pub fn open(root: &Path, scratch: &Path) -> Result<Self> {
        let database = root.join("jobs.sqlite");
        if !database.is_file() {
            return Err(JobsError::NotAlone { folder: root.to_owned() });
        }
        let folder = DataFolder::hold(root)?;
        if let Some(Moved { service, .. }) = folder.moved()? {
            return Err(JobsError::Moved { folder: root.to_owned(), service });
        }
        let copy = scratch.join("jobs.sqlite");
        for suffix in ["", "-wal"] {
            let (from, to) = (with_suffix(&database, suffix), with_suffix(&copy, suffix));
            if from.exists() {
                fs::copy(&from, &to).map_err(JobsError::file(from))?;
            }
        }
        let store = SqliteStore::open(&copy, Box::new(|_| {}))?;
        let clock = NodeClock::resume(store.stored_clock()?);
        Ok(Self { folder, store, clock })
    }

    /// Its files.
    pub fn blobs(&self) -> &dyn Blobs {
        &self.folder
    }

    /// All generations, in the order in which they came.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub fn generations(&self) -> Result<Vec<GenerationId>> {
        self.store.all_generations()
    }

    /// One of them, at a moment of the service's time. What it says of ages is said in that time, too.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub fn generation(&self, id: GenerationId, max_fruitless: u32, now: Now) -> Result<LeavingGeneration> {
        let record = self.store.any_generation(id)?;
        let mut beside = self.store.beside(id)?;
        beside.ended_age_ms = beside.ended_age_ms.map(|ended| self.age_in(now, ended));
        let document = Document::moved(record.clone(), beside);
        let document = document.taken_up(latent::reach(&self.folder, id), max_fruitless, now)?;
        Ok(LeavingGeneration { document, sequence: record.sequence, events: record.last_event, record })
    }

    /// The events of a generation after a number, in order; a part of them where there are many.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub fn events(&self, of: &LeavingGeneration, after: u64) -> Result<Vec<Event>> {
        self.store.events_of(of.sequence, after)
    }

    /// All uploads, with ages in the service's time at that moment.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub fn uploads(&self, now: Now) -> Result<Vec<MirroredUpload>> {
        let aged = |upload: MirroredUpload| {
            let created_age_ms = self.age_in(now, upload.created_age_ms);
            MirroredUpload { created_age_ms, ..upload }
        };
        Ok(self.store.all_uploads()?.into_iter().map(aged).collect())
    }

    /// Notes in the folder that all of it is in a service now: no node alone starts in it any more.
    ///
    /// # Errors
    /// `File`, `StorageFull`.
    pub fn is_moved_to(&self, service: &str) -> Result<()> {
        self.folder.set_moved(&Moved { service: service.to_owned(), at_ms: self.clock.now().wall_ms })
    }

    /// What is as old in the service as `age_ms` is in the folder.
    fn age_in(&self, now: Now, age_ms: i64) -> i64 {
        now.age_ms.saturating_sub(self.clock.now().age_ms.saturating_sub(age_ms).max(0))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
