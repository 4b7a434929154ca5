//! Images, latents and outputs, which every node finds. What a node writes of outputs lies in its own folder until it is complete.
//!
//! Must not know what is in them, nor where they lie. Outputs and latents of each attempt have names of their own: which of them count
//! says the document. So nothing that an attempt still sends when it has been taken over replaces what the next one has put.

use crate::{
    Cluster,
    claims::Standing,
    connection::PATIENCE,
    error::NotWritten,
    files::{Found, Source, named},
    keys,
};
use ltx_jobs::{
    GenerationId, JobsError, OutputKind, Result,
    ports::{Blobs, Shelf},
};
use ltx_types::ImageSource;
use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, ErrorKind},
    mem,
    path::PathBuf,
    time::Instant,
};

/// The file of an attempt's latent.
pub(crate) const LATENT: &str = "latent";

pub(crate) fn of_attempt(id: GenerationId, attempt: u32, file: &str) -> String {
    format!("{id}/{attempt}/{file}")
}

fn generation(name: &str) -> io::Result<GenerationId> {
    name.parse().map_err(|_| ErrorKind::NotFound.into())
}

/// An error of the store as one of files.
fn broken(error: JobsError) -> io::Error {
    io::Error::other(error)
}

impl Cluster {
    /// Puts a file that is not there, or not as long as it is to be.
    pub(crate) fn put_once(&self, shelf: Shelf, name: &str, bytes: Vec<u8>) -> Result<()> {
        if self.length_of(shelf, name)? == Some(bytes.len() as u64) {
            return Ok(());
        }
        self.put_patiently(shelf, name, &Source::Bytes(bytes.into()))
    }

    /// This moment by the servers' clock, to a card's age.
    fn server_ms(&self) -> Result<i64> {
        let card = self.connection.get(&keys::node(&self.node))?;
        Ok(card.map_or(0, |card| card.at_ms))
    }

    /// Says that an image is relied on, so that no node that sweeps removes it. Whether nobody was about to: what is being removed
    /// is to be put again.
    fn rely_on(&self, name: &str) -> Result<bool> {
        let (key, until) = (keys::image(name), Instant::now() + PATIENCE);
        loop {
            let kept = self.connection.get(&key)?;
            let (revision, relied) = kept.map_or((0, false), |kept| (kept.revision, kept.value.is_some()));
            match self.connection.put(&key, self.node.clone().into_bytes(), revision) {
                Ok(_) => return Ok(relied),
                Err(failed) => self.connection.again_after(failed, until)?,
            }
        }
    }

    /// Removes an image on which nobody has relied for a while. Its key goes first: whoever relies on it at this moment keeps it, and
    /// whoever does so later puts it again.
    fn remove_image(&self, name: &str) -> Result<()> {
        let found = self.found(Shelf::Images, vec![name.to_owned()])?;
        if found.is_empty() {
            return Ok(());
        }
        let key = keys::image(name);
        if let Some(kept) = self.connection.get(&key)? {
            if self.server_ms()?.saturating_sub(kept.at_ms) < self.turns.young().as_millis() as i64 {
                return Ok(());
            }
            match self.connection.delete(&key, kept.revision) {
                Ok(_) => {}
                Err(NotWritten::Changed) => return Ok(()),
                Err(why) => return Err(why.into()),
            }
        }
        self.remove_found(Shelf::Images, found)
    }

    /// Removes what these attempts of a generation have put.
    pub(crate) fn remove_of(
        &self,
        shelf: Shelf,
        id: GenerationId,
        attempts: impl IntoIterator<Item = u32>,
    ) -> Result<()> {
        let files = match shelf {
            Shelf::Outputs => OutputKind::ALL.map(OutputKind::file_name).to_vec(),
            _ => vec![LATENT],
        };
        let names =
            attempts.into_iter().flat_map(|attempt| files.iter().map(move |file| of_attempt(id, attempt, file)));
        let names: Vec<String> = names.collect();
        if names.is_empty() {
            return Ok(());
        }
        let found = self.found(shelf, names)?;
        self.remove_found(shelf, found)
    }

    /// Keeps the latent of the attempt that this node makes; of one that another node has taken over, nothing.
    fn put_latent(&self, id: GenerationId, latent: &Source) -> Result<()> {
        let Some(Standing::Ours(attempt)) = self.claims.standing(id) else { return Ok(()) };
        self.put(Shelf::Latents, &of_attempt(id, attempt, LATENT), latent)?;
        // Its first one takes the place of those before it.
        match self.claims.with(id, |held| mem::replace(&mut held.keeps_latent, true)) {
            Some(false) => self.remove_of(Shelf::Latents, id, 1..attempt),
            _ => Ok(()),
        }
    }

    /// The latent of the last attempt that has one.
    fn latent<T>(&self, id: GenerationId, get: impl Fn(&str) -> Result<Option<T>>) -> Result<Option<T>> {
        let (document, _) = self.document(id)?;
        for attempt in (1..=document.attempts).rev() {
            if let Some(found) = get(&of_attempt(id, attempt, LATENT))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Removes what every attempt of a generation has put; how many there were says its record, if there still is one.
    fn remove_every(&self, shelf: Shelf, id: GenerationId, attempts: Option<u32>) -> Result<()> {
        if let Some(attempts) = attempts {
            return self.remove_of(shelf, id, 1..=attempts);
        }
        let found = self.everything(shelf, Some(&id.to_string()))?;
        self.remove_found(shelf, found)
    }
}

impl Blobs for Cluster {
    /// A latent waits for the servers as long as its worker does: a run does not fail because they are away.
    fn put_whole(&self, shelf: Shelf, name: &str, chunks: &[&[u8]]) -> io::Result<()> {
        let bytes = Source::Bytes(chunks.concat().into());
        if shelf == Shelf::Latents {
            let id = generation(name)?;
            return self.insist(|| self.put_latent(id, &bytes)).map_err(broken);
        }
        self.put_patiently(shelf, name, &bytes).map_err(broken)
    }

    fn read(&self, shelf: Shelf, name: &str) -> io::Result<Vec<u8>> {
        let found = match shelf {
            Shelf::Latents => {
                let id = generation(name)?;
                self.insist(|| self.latent(id, |name| self.get(shelf, name)))
            }
            _ => self.get(shelf, name),
        };
        found.map_err(broken)?.ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn open(&self, shelf: Shelf, name: &str) -> io::Result<File> {
        let file = match shelf {
            Shelf::Latents => {
                let id = generation(name)?;
                self.insist(|| self.latent(id, |name| self.fetch(shelf, name)))
            }
            _ => self.fetch(shelf, name),
        };
        file.map_err(broken)?.ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn length(&self, shelf: Shelf, name: &str) -> Option<u64> {
        self.length_of(shelf, name).ok().flatten()
    }

    /// Says first that the image is relied on. One that is there is never put again: nothing is replaced that a worker may be
    /// reading.
    fn has(&self, name: &str, bytes: u64) -> Result<bool> {
        let relied = self.rely_on(name)?;
        Ok(relied && self.length_of(Shelf::Images, name)? == Some(bytes))
    }

    fn path_of(&self, shelf: Shelf, name: &str) -> PathBuf {
        self.files.place(shelf).join(name)
    }

    fn image(&self, sha256: &str) -> Result<ImageSource> {
        // A run waits for the servers; whoever asks for a client does not.
        let runs = self.claims.lock().is_some();
        let found = match runs {
            true => self.insist(|| self.get(Shelf::Images, sha256)),
            false => self.get(Shelf::Images, sha256),
        };
        // Opened, a path says that it is not there.
        let missing = || ImageSource::Path(self.path_of(Shelf::Images, sha256));
        Ok(found?.map_or_else(missing, |bytes| ImageSource::Bytes(bytes.into())))
    }

    fn begin_outputs(&self, id: GenerationId) -> Result<PathBuf> {
        let folder = self.own_files().begin_outputs(id)?;
        self.claims.with(id, |held| held.outputs = Some(folder.clone()));
        Ok(folder)
    }

    fn publish_outputs(&self, id: GenerationId) -> Result<()> {
        let held = self.claims.with(id, |held| (held.standing, held.outputs.clone()));
        let Some((Standing::Ours(attempt), Some(folder))) = held else {
            // Nothing of it counts; the record says so when it is settled.
            return self.own_files().discard_outputs(id);
        };
        for kind in OutputKind::ALL {
            let file = Source::File(folder.join(kind.file_name()));
            let name = of_attempt(id, attempt, kind.file_name());
            self.insist(|| self.put(Shelf::Outputs, &name, &file))?;
        }
        // What attempts before this one left, perhaps not complete, never counts. Else it goes with these.
        if attempt > 1
            && let Err(error) = self.remove_of(Shelf::Outputs, id, 1..attempt)
        {
            tracing::debug!(%id, %error, "what earlier attempts left stays");
        }
        self.own_files().discard_outputs(id)
    }

    fn discard_outputs(&self, id: GenerationId) -> Result<()> {
        self.own_files().discard_outputs(id)
    }

    fn open_output(&self, id: GenerationId, kind: OutputKind) -> io::Result<File> {
        let (document, _) = self.document(id).map_err(broken)?;
        let name = of_attempt(id, document.attempts, kind.file_name());
        self.fetch(Shelf::Outputs, &name).map_err(broken)?.ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// What was there ten minutes ago already, and is the same file still: whoever has just put one names it soon. Nothing while
    /// the copy lacks what this version cannot read: files may belong to that.
    fn list(&self, shelf: Shelf) -> Result<Vec<OsString>> {
        let unread = self.unread.lock().len();
        if unread > 0 {
            tracing::warn!(unread, "no files are removed by this node: it cannot read what some of them may belong to");
            return Ok(Vec::new());
        }
        let mut names = HashSet::new();
        let all = self.everything(shelf, None)?;
        let old = self.turns.seen_long_ago(named(shelf), all.iter().map(|found| found.mark.as_str()));
        for Found { name, .. } in all.iter().filter(|found| old.contains(&found.mark)) {
            names.insert(OsString::from(name.split('/').next().unwrap_or_default()));
        }
        Ok(names.into_iter().collect())
    }

    fn delete(&self, shelf: Shelf, name: &OsStr) -> Result<()> {
        let name = name.to_string_lossy();
        if shelf == Shelf::Images {
            return self.remove_image(&name);
        }
        let Ok(id) = name.parse::<GenerationId>() else { return Ok(()) };
        let record = match self.mirror.tables().any_generation(id) {
            Ok(record) => Some(record),
            Err(JobsError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        let attempts = record.as_ref().map(|record| record.attempts);
        if shelf == Shelf::Latents {
            return self.remove_every(shelf, id, attempts);
        }
        // The attempt that counts, or may yet, is not touched: only what those before it left.
        if let Some(record) = record.as_ref().filter(|record| !record.state.is_final() || record.outputs_kept) {
            return self.remove_of(shelf, id, 1..record.attempts);
        }
        self.own_files().discard_outputs(id)?;
        if self.turns.has_forgotten(id) {
            return Ok(());
        }
        self.remove_every(shelf, id, attempts)
    }
}
