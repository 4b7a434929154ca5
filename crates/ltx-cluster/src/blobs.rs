//! Files in the object store: images, latents, outputs. What a node writes of outputs lies in its own folder until it is complete.
//!
//! Must not know what is in them. Outputs and latents of each attempt have names of their own: which of them count says the document. So
//! nothing that an attempt still sends when it has been taken over replaces what the next one has put.

use crate::{
    Cluster,
    claims::Standing,
    connection::PATIENCE,
    error::{NotWritten, unavailable},
    keys,
};
use async_nats::jetstream::{
    object_store::{GetErrorKind, ObjectInfo, ObjectMetadata, ObjectStore, PutErrorKind},
    stream::Stream,
};
use futures_util::StreamExt;
use ltx_jobs::{
    GenerationId, JobsError, OutputKind, Result,
    ports::{Blobs, Shelf},
};
use ltx_types::ImageSource;
use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, ErrorKind, Seek, Write},
    mem,
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::io::AsyncReadExt;

/// The file of an attempt's latent.
pub(crate) const LATENT: &str = "latent";

/// How long a file may take beside its bytes.
const FILE: Duration = Duration::from_secs(60);

/// Bytes a second that a connection must bring to the servers at least.
const SLOWEST: u64 = 256 << 10;

/// Bytes of a file that are sent at a time, where the servers take so many.
const CHUNK: usize = 256 << 10;

fn named(shelf: Shelf) -> &'static str {
    match shelf {
        Shelf::Images => "images",
        Shelf::Latents => "latents",
        Shelf::Outputs => "outputs",
    }
}

pub(crate) fn of_attempt(id: GenerationId, attempt: u32, file: &str) -> String {
    format!("{id}/{attempt}/{file}")
}

fn generation(name: &str) -> io::Result<GenerationId> {
    name.parse().map_err(|_| ErrorKind::NotFound.into())
}

/// How long so many bytes may take to be kept.
fn longest(bytes: usize) -> Duration {
    FILE + Duration::from_secs(bytes as u64 / SLOWEST)
}

/// An error of the store as one of files.
fn broken(error: JobsError) -> io::Error {
    io::Error::other(error)
}

impl Cluster {
    fn bucket(&self, shelf: Shelf) -> ObjectStore {
        match shelf {
            Shelf::Images => self.connection.images.clone(),
            Shelf::Latents => self.connection.latents.clone(),
            Shelf::Outputs => self.connection.outputs.clone(),
        }
    }

    fn put(&self, shelf: Shelf, name: &str, bytes: Vec<u8>) -> Result<()> {
        let (bucket, named) = (self.bucket(shelf), name.to_owned());
        let chunk = CHUNK.min(self.connection.client.server_info().max_payload);
        let put = async move {
            let meta = ObjectMetadata { name: named, chunk_size: Some(chunk), ..Default::default() };
            tokio::time::timeout(longest(bytes.len()), bucket.put(meta, &mut bytes.as_slice())).await
        };
        match self.connection.wait(put)? {
            Ok(Ok(_)) => Ok(()),
            // The new one is there; the old one's chunks are removed with the bucket's next.
            Ok(Err(error)) if error.kind() == PutErrorKind::PurgeOldChunks => Ok(()),
            Ok(Err(error)) if error.to_string().contains("insufficient resources") => {
                Err(JobsError::StorageFull { free: 0, needed: 0, source: None })
            }
            Ok(Err(error)) => Err(unavailable(error)),
            Err(late) => Err(unavailable(late)),
        }
    }

    /// Puts a file that is not there, or not as long as it is to be. It is tried again while the servers do not answer.
    pub(crate) fn put_once(&self, shelf: Shelf, name: &str, bytes: Vec<u8>) -> Result<()> {
        if self.info(shelf, name)?.is_some_and(|(info, _)| info.size == bytes.len()) {
            return Ok(());
        }
        let until = Instant::now() + PATIENCE;
        loop {
            match self.put(shelf, name, bytes.clone()) {
                Err(JobsError::Unavailable { why, .. }) => self.connection.again_until(until, why)?,
                put => return put,
            }
        }
    }

    /// A file's bytes; `None` where there is none.
    fn get(&self, shelf: Shelf, name: &str) -> Result<Option<Vec<u8>>> {
        let until = Instant::now() + PATIENCE;
        loop {
            let (bucket, named) = (self.bucket(shelf), name.to_owned());
            let get = async move {
                let mut object = match bucket.get(&named).await {
                    Ok(object) => object,
                    Err(error) if error.kind() == GetErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(error.to_string()),
                };
                let mut bytes = Vec::with_capacity(object.info.size);
                // One that is replaced meanwhile never ends.
                let mut left = object.info.size;
                while left > 0 {
                    let more = tokio::time::timeout(PATIENCE / 4, object.read_buf(&mut bytes)).await;
                    let more = more.map_err(|late| late.to_string())?.map_err(|error| error.to_string())?;
                    if more == 0 {
                        return Err("it ends early".to_owned());
                    }
                    left = left.saturating_sub(more);
                }
                Ok(Some(bytes))
            };
            match self.connection.wait(get)? {
                Ok(found) => return Ok(found),
                Err(why) => self.connection.again_until(until, why)?,
            }
        }
    }

    /// This moment by the servers' clock, to a card's age.
    fn server_ms(&self) -> Result<i64> {
        let card = self.connection.get(&keys::node(&self.node))?;
        Ok(card.map_or(0, |card| card.at_ms))
    }

    /// The stream of a bucket of files, and the subject of what is known of a file in it.
    fn file(&self, shelf: Shelf, name: &str) -> Result<(Stream<()>, String)> {
        let bucket = self.connection.names.bucket(named(shelf));
        let subject = format!("$O.{bucket}.M.{}", base64_url(name.as_bytes()));
        let (jetstream, stream) = (self.connection.jetstream.clone(), format!("OBJ_{bucket}"));
        let stream = self.connection.wait(async move { jetstream.get_stream_no_info(stream).await })?;
        Ok((stream.map_err(unavailable)?, subject))
    }

    /// What is known of a file, and since which revision; `None` where there is none.
    fn info(&self, shelf: Shelf, name: &str) -> Result<Option<(ObjectInfo, u64)>> {
        let (stream, subject) = self.file(shelf, name)?;
        let Some(message) = self.connection.last(&stream, &subject)? else { return Ok(None) };
        let info: ObjectInfo =
            serde_json::from_slice(&message.payload).map_err(|_| JobsError::Corrupt { what: "file's description" })?;
        Ok(Some((info, message.sequence)).filter(|(info, _)| !info.deleted))
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
                Err(NotWritten::Changed) if Instant::now() < until => {}
                Err(NotWritten::Unknown(why)) => self.connection.again_until(until, why)?,
                Err(why) => return Err(why.into()),
            }
        }
    }

    /// Removes an image on which nobody has relied for a while. Its key goes first: whoever relies on it at this moment keeps it, and
    /// whoever does so later puts it again.
    fn remove_image(&self, name: &str) -> Result<()> {
        let Some(found) = self.info(Shelf::Images, name)? else { return Ok(()) };
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
        self.remove_found(Shelf::Images, name, found)
    }

    fn infos(&self, shelf: Shelf) -> Result<Vec<ObjectInfo>> {
        let bucket = self.bucket(shelf);
        let list = async move {
            let list = bucket.list().await.map_err(unavailable)?;
            let all = list.filter_map(|info| std::future::ready(info.ok())).collect::<Vec<_>>();
            tokio::time::timeout(FILE, all).await.map_err(unavailable)
        };
        self.connection.wait(list)?
    }

    /// Removes a file with its chunks; nothing of it stays.
    fn remove(&self, shelf: Shelf, name: &str) -> Result<()> {
        self.info(shelf, name)?.map_or(Ok(()), |found| self.remove_found(shelf, name, found))
    }

    /// The same of a file as it was found: one that has been put since stays.
    fn remove_found(&self, shelf: Shelf, name: &str, (info, revision): (ObjectInfo, u64)) -> Result<()> {
        let (stream, meta) = self.file(shelf, name)?;
        let chunks = format!("$O.{}.C.{}", info.bucket, info.nuid);
        let purge = async move {
            stream.purge().sequence(revision + 1).filter(meta).await.map_err(unavailable)?;
            stream.purge().filter(chunks).await.map_err(unavailable).map(drop)
        };
        self.connection.wait(purge)?
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
        for attempt in attempts {
            files.iter().try_for_each(|file| self.remove(shelf, &of_attempt(id, attempt, file)))?;
        }
        Ok(())
    }

    /// Keeps the latent of the attempt that this node makes; of one that another node has taken over, nothing.
    fn put_latent(&self, id: GenerationId, bytes: &[u8]) -> Result<()> {
        let Some(Standing::Ours(attempt)) = self.claims.standing(id) else { return Ok(()) };
        self.put(Shelf::Latents, &of_attempt(id, attempt, LATENT), bytes.to_vec())?;
        // Its first one takes the place of those before it.
        match self.claims.with(id, |held| mem::replace(&mut held.keeps_latent, true)) {
            Some(false) => self.remove_of(Shelf::Latents, id, 1..attempt),
            _ => Ok(()),
        }
    }

    /// The latent of the last attempt that has one.
    fn latent(&self, id: GenerationId) -> Result<Option<Vec<u8>>> {
        let (document, _) = self.document(id)?;
        for attempt in (1..=document.attempts).rev() {
            if let Some(bytes) = self.get(Shelf::Latents, &of_attempt(id, attempt, LATENT))? {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// Removes what every attempt of a generation has put; how many there were says the record, if it is still there.
    fn remove_every(&self, shelf: Shelf, id: GenerationId, attempts: u32) -> Result<()> {
        if attempts > 0 {
            return self.remove_of(shelf, id, 1..=attempts);
        }
        let (prefix, all) = (format!("{id}/"), self.infos(shelf)?);
        let of_it = all.iter().filter(|info| info.name.starts_with(&prefix));
        of_it.into_iter().try_for_each(|info| self.remove(shelf, &info.name))
    }

    /// Bytes as an open file that has no name.
    fn spooled(&self, bytes: &[u8]) -> io::Result<File> {
        let mut file = tempfile::tempfile_in(&self.spool)?;
        file.write_all(bytes)?;
        file.rewind()?;
        Ok(file)
    }
}

/// Base64 for URLs, with padding, as the object store names objects.
fn base64_url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = |chunk: &[u8]| {
        let padded = [chunk[0], *chunk.get(1).unwrap_or(&0), *chunk.get(2).unwrap_or(&0)];
        let number = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        let digit = |at: usize| match at <= chunk.len() {
            true => char::from(DIGITS[(number >> (18 - 6 * at)) as usize & 63]),
            false => '=',
        };
        [digit(0), digit(1), digit(2), digit(3)]
    };
    bytes.chunks(3).flat_map(digits).collect()
}

impl Blobs for Cluster {
    /// A latent waits for the servers as long as its worker does: a run does not fail because they are away.
    fn put_whole(&self, shelf: Shelf, name: &str, chunks: &[&[u8]]) -> io::Result<()> {
        if shelf == Shelf::Latents {
            let (id, bytes) = (generation(name)?, chunks.concat());
            return self.insist(|| self.put_latent(id, &bytes)).map_err(broken);
        }
        let until = Instant::now() + PATIENCE;
        loop {
            match self.put(shelf, name, chunks.concat()) {
                Err(JobsError::Unavailable { why, .. }) => self.connection.again_until(until, why).map_err(broken)?,
                put => return put.map_err(broken),
            }
        }
    }

    fn read(&self, shelf: Shelf, name: &str) -> io::Result<Vec<u8>> {
        let found = match shelf {
            Shelf::Latents => {
                let id = generation(name)?;
                self.insist(|| self.latent(id))
            }
            _ => self.get(shelf, name),
        };
        found.map_err(broken)?.ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn open(&self, shelf: Shelf, name: &str) -> io::Result<File> {
        self.spooled(&self.read(shelf, name)?)
    }

    fn length(&self, shelf: Shelf, name: &str) -> Option<u64> {
        self.info(shelf, name).ok().flatten().map(|(info, _)| info.size as u64)
    }

    /// Says first that the image is relied on. One that is there is never put again: nothing is replaced that a worker may be
    /// reading.
    fn has(&self, name: &str, bytes: u64) -> Result<bool> {
        let relied = self.rely_on(name)?;
        Ok(relied && self.info(Shelf::Images, name)?.is_some_and(|(info, _)| info.size as u64 == bytes))
    }

    fn path_of(&self, shelf: Shelf, name: &str) -> PathBuf {
        PathBuf::from(self.connection.names.bucket(named(shelf))).join(name)
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
            let path = folder.join(kind.file_name());
            let bytes = fs::read(&path).map_err(|source| JobsError::File { path, source })?;
            let name = of_attempt(id, attempt, kind.file_name());
            self.insist(|| self.put(Shelf::Outputs, &name, bytes.clone()))?;
        }
        self.own_files().discard_outputs(id)
    }

    fn discard_outputs(&self, id: GenerationId) -> Result<()> {
        self.own_files().discard_outputs(id)
    }

    fn open_output(&self, id: GenerationId, kind: OutputKind) -> io::Result<File> {
        let (document, _) = self.document(id).map_err(broken)?;
        let name = of_attempt(id, document.attempts, kind.file_name());
        let bytes = self.get(Shelf::Outputs, &name).map_err(broken)?;
        self.spooled(&bytes.ok_or(ErrorKind::NotFound)?)
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
        let all = self.infos(shelf)?;
        let old = self.turns.seen_long_ago(named(shelf), all.iter().map(|info| info.nuid.as_str()));
        for info in all.iter().filter(|info| old.contains(&info.nuid)) {
            names.insert(OsString::from(info.name.split('/').next().unwrap_or_default()));
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
        let attempts = record.as_ref().map_or(0, |record| record.attempts);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_as_the_object_store_does() {
        for (name, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("~~~?", "fn5-Pw==")] {
            assert_eq!(base64_url(name.as_bytes()), encoded);
        }
    }

    #[test]
    fn a_file_may_take_longer_the_larger_it_is() {
        assert_eq!(longest(0), FILE);
        assert!(longest(1 << 30) > longest(1 << 20), "whatever its size, it is given up at last");
    }
}
