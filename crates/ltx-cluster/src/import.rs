//! Moving what a node alone holds into a service: files first, then events, then the document, which says that all of it is there. So a
//! move that is cut short is begun anew and goes on where it was, and nothing is there twice.
//!
//! Must not decide what a generation's life is, nor change anything in the folder that it comes from.

use crate::{
    Cluster,
    blobs::{LATENT, of_attempt},
    connection::Kept,
    error::{NotWritten, unavailable},
    intents::Intent,
    keys,
};
use async_nats::jetstream::message::PublishMessage;
use ltx_jobs::{
    Alone, Event, GenerationId, JobsError, LeavingGeneration, OutputKind, Result, State,
    ports::{Blobs, Document, Mirrored, MirroredUpload, Now, Records, Shelf},
};
use ltx_types::sentence;
use sha2::{Digest, Sha256};
use std::{collections::HashSet, io};

/// What was moved, or would be.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Generations of each state, as [`State::ALL`] has them, that are in the service now and were not before.
    pub moved: [usize; 5],
    /// Generations that the service had already: from an earlier move, perhaps deleted since.
    pub there: usize,
    /// Uploads.
    pub uploads: usize,
    /// Bytes of files.
    pub bytes: u64,
    /// Generations that were left, because their names were said.
    pub left: usize,
    /// Those that cannot be moved, each with why.
    pub refused: Vec<(GenerationId, String)>,
}

impl Imported {
    /// Generations that were moved, or would be.
    pub fn generations(&self) -> usize {
        self.moved.iter().sum()
    }

    fn counts(&mut self, document: &Document) {
        let at = State::ALL.iter().position(|state| *state == document.state);
        self.moved[at.unwrap_or_default()] += 1;
    }
}

/// Which generations of a folder are moved, and who is told how far that is.
pub struct Import<'a> {
    /// The folder.
    pub alone: &'a Alone,
    /// Generations that are left in it.
    pub leave: HashSet<GenerationId>,
    /// Deaths in a row after which one that ran is given up, as a node of this configuration has it.
    pub fruitless_crashes: u32,
    /// Told of each generation that is done with: how many, of how many.
    pub progress: &'a dyn Fn(usize, usize),
}

/// One generation with all that is read of it before anything is written.
struct Whole {
    leaving: LeavingGeneration,
    bytes: u64,
}

impl Import<'_> {
    /// What would be moved, by what the folder alone says. Reads every file.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub fn look(&self) -> Result<Imported> {
        let (mut found, mut images) = (Imported::default(), HashSet::new());
        let ids = self.alone.generations()?;
        for (done, id) in ids.iter().enumerate() {
            if self.leave.contains(id) {
                found.left += 1;
            } else {
                match self.whole(*id, Now::at(0), &mut images) {
                    Ok(whole) => {
                        found.counts(&whole.leaving.document);
                        found.bytes += whole.bytes;
                    }
                    Err(error) => found.refused.push((*id, sentence(&error))),
                }
            }
            (self.progress)(done + 1, ids.len());
        }
        for upload in self.alone.uploads(Now::at(0))? {
            found.uploads += 1;
            found.bytes += if images.insert(upload.sha256) { upload.bytes } else { 0 };
        }
        Ok(found)
    }

    /// Reads a generation, and looks at its files: none may be missing, or other than it was. Images are counted once.
    fn whole(&self, id: GenerationId, now: Now, images: &mut HashSet<String>) -> Result<Whole> {
        let leaving = self.alone.generation(id, self.fruitless_crashes, now)?;
        let mut bytes = 0;
        for image in &leaving.document.images {
            let length = self.image(&image.sha256)?.len() as u64;
            bytes += if images.insert(image.sha256.clone()) { length } else { 0 };
        }
        for kind in kept(&leaving) {
            bytes += self.output(&leaving, kind)?.len() as u64;
        }
        if !leaving.document.state.is_final() {
            bytes += self.latent(id)?.map_or(0, |latent| latent.len() as u64);
        }
        Ok(Whole { leaving, bytes })
    }

    fn image(&self, sha256: &str) -> Result<Vec<u8>> {
        let path = self.alone.blobs().path_of(Shelf::Images, sha256);
        let bytes = self.alone.blobs().read(Shelf::Images, sha256).map_err(|source| file(&path, source))?;
        whole_file(path, bytes, sha256)
    }

    /// The saved latent, where there is one.
    fn latent(&self, id: GenerationId) -> Result<Option<Vec<u8>>> {
        match self.alone.blobs().read(Shelf::Latents, &id.to_string()) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(file(&self.alone.blobs().path_of(Shelf::Latents, &id.to_string()), source)),
        }
    }

    fn output(&self, leaving: &LeavingGeneration, kind: OutputKind) -> Result<Vec<u8>> {
        let id = leaving.document.id;
        let path = self.alone.blobs().path_of(Shelf::Outputs, &id.to_string()).join(kind.file_name());
        let mut bytes = Vec::new();
        let opened = self.alone.blobs().open_output(id, kind);
        let read = opened.and_then(|mut opened| io::Read::read_to_end(&mut opened, &mut bytes));
        read.map_err(|source| file(&path, source))?;
        let files = leaving.record.outcome.iter().flat_map(|outcome| &outcome.files);
        match files.into_iter().find(|listed| listed.kind == kind) {
            Some(listed) => whole_file(path, bytes, &listed.sha256),
            None => Ok(bytes),
        }
    }
}

/// The outputs of a generation that are still kept.
fn kept(leaving: &LeavingGeneration) -> Vec<OutputKind> {
    let files = leaving.record.outcome.iter().flat_map(|outcome| &outcome.files);
    files.filter(|_| leaving.record.outputs_kept).map(|listed| listed.kind).collect()
}

/// A file's bytes, if their digest is the one that was noted.
fn whole_file(path: std::path::PathBuf, bytes: Vec<u8>, sha256: &str) -> Result<Vec<u8>> {
    match format!("{:x}", Sha256::digest(&bytes)) == sha256 {
        true => Ok(bytes),
        false => {
            Err(JobsError::File { path, source: io::Error::other("it is not what was written: its digest differs") })
        }
    }
}

fn file(path: &std::path::Path, source: io::Error) -> JobsError {
    JobsError::File { path: path.to_owned(), source }
}

impl Cluster {
    /// Moves what a folder of a node alone holds into this service. What cannot be moved is named, and keeps nothing else from being
    /// moved. Doing it again moves what is left.
    ///
    /// # Errors
    /// `Unavailable`, `StorageFull`; `Database`, `Corrupt`.
    pub fn import(&self, import: &Import<'_>) -> Result<Imported> {
        let (mut done, mut images) = (Imported::default(), HashSet::new());
        let ids = import.alone.generations()?;
        let (mut rest, mut behind) = (ids.as_slice(), 0);
        while let Some(first) = rest.first() {
            // Those of one request came together.
            let group = self.group(import, rest)?;
            let group = if group.is_empty() { vec![*first] } else { group };
            self.move_group(import, &group, (&mut done, &mut images))?;
            rest = &rest[group.len()..];
            behind += group.len();
            (import.progress)(behind, ids.len());
        }
        for upload in import.alone.uploads(self.now())? {
            self.move_upload(import, &upload, (&mut done, &mut images))?;
        }
        Ok(done)
    }

    /// The first of these generations with those of its request that follow it.
    fn group(&self, import: &Import<'_>, ids: &[GenerationId]) -> Result<Vec<GenerationId>> {
        let request = |id: GenerationId| {
            let read = import.alone.generation(id, import.fruitless_crashes, self.now());
            read.map(|leaving| leaving.document.request_of())
        };
        let Some(Ok(first)) = ids.first().map(|id| request(*id)) else { return Ok(Vec::new()) };
        Ok(ids.iter().copied().take_while(|id| request(*id).is_ok_and(|other| other == first)).collect())
    }

    /// Moves the generations of one request.
    fn move_group(
        &self,
        import: &Import<'_>,
        ids: &[GenerationId],
        (done, images): (&mut Imported, &mut HashSet<String>),
    ) -> Result<()> {
        let mut documents = Vec::new();
        for id in ids {
            if import.leave.contains(id) {
                done.left += 1;
                continue;
            }
            if self.is_there(*id)? {
                done.there += 1;
                continue;
            }
            let moved = import.whole(*id, self.now(), images).and_then(|whole| {
                // Where a move was cut short behind the announcement of these, the look at their name has stored them.
                self.check_name(&whole.leaving.document)?;
                if whole.leaving.document.request_id.is_some() && self.is_there(*id)? {
                    return Ok(None);
                }
                self.move_files(import, &whole.leaving)?;
                self.move_events(import, &whole.leaving)?;
                Ok(Some(whole))
            });
            match moved {
                Ok(None) => done.there += 1,
                Ok(Some(whole)) => {
                    done.counts(&whole.leaving.document);
                    done.bytes += whole.bytes;
                    documents.push(whole.leaving.document);
                }
                Err(error @ (JobsError::Unavailable { .. } | JobsError::StorageFull { .. })) => return Err(error),
                Err(JobsError::AlreadyExists { request_id, generation }) => {
                    done.refused.push((*id, taken(&request_id, generation)));
                }
                Err(error) => done.refused.push((*id, sentence(&error))),
            }
        }
        let named = documents.iter().find_map(|document| document.request_id.clone().map(|named| (document, named)));
        let Some((first, named)) = named else { return self.store_moved(documents, done) };
        // Under a name of its client's they are announced, as those of a new request are.
        let (key, intent) = (keys::request(&first.client, &named), Intent::of(&first.body_sha256, documents.clone()));
        let announced = self.announce(&key, &intent, Some(&named));
        match announced.and_then(|revision| self.complete(&key, &intent, revision)) {
            Ok(()) => Ok(()),
            Err(JobsError::AlreadyExists { request_id, generation }) => {
                self.refuse(documents, &taken(&request_id, generation), done);
                Ok(())
            }
            Err(error @ JobsError::Fields(_)) => {
                self.refuse(documents, &sentence(&error), done);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a generation is in the service, or a mark that it was: what was deleted since is not brought back.
    fn is_there(&self, id: GenerationId) -> Result<bool> {
        Ok(self.connection.get(&keys::generation(id))?.is_some())
    }

    /// Whether the name that its client gave the request is free in the service.
    ///
    /// # Errors
    /// `AlreadyExists`; `Unavailable`.
    fn check_name(&self, document: &Document) -> Result<()> {
        let Some(named) = &document.request_id else { return Ok(()) };
        match self.by_request_id(&document.client, named)? {
            Some((record, _)) if record.id != document.id => {
                Err(JobsError::AlreadyExists { request_id: named.clone(), generation: record.id })
            }
            _ => Ok(()),
        }
    }

    /// Stores documents one by one, which nobody asks for by a name of its client's.
    fn store_moved(&self, documents: Vec<Document>, done: &mut Imported) -> Result<()> {
        for document in documents {
            match self.store(std::slice::from_ref(&document)) {
                Ok(()) => {}
                Err(error @ JobsError::Fields(_)) => self.refuse(vec![document], &sentence(&error), done),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Puts a generation's files where every node finds them. One that is there is not put again.
    fn move_files(&self, import: &Import<'_>, leaving: &LeavingGeneration) -> Result<()> {
        let document = &leaving.document;
        for image in &document.images {
            self.move_image(import, &image.sha256)?;
        }
        for kind in kept(leaving) {
            let name = of_attempt(document.id, document.attempts, kind.file_name());
            self.put_once(Shelf::Outputs, &name, import.output(leaving, kind)?)?;
        }
        if !document.state.is_final()
            && let Some(latent) = import.latent(document.id)?
        {
            self.put_once(Shelf::Latents, &of_attempt(document.id, document.attempts, LATENT), latent)?;
        }
        Ok(())
    }

    fn move_image(&self, import: &Import<'_>, sha256: &str) -> Result<()> {
        let bytes = import.image(sha256)?;
        if Blobs::has(self, sha256, bytes.len() as u64)? {
            return Ok(());
        }
        let path = Blobs::path_of(self, Shelf::Images, sha256);
        Blobs::put_whole(self, Shelf::Images, sha256, &[&bytes]).map_err(|source| match source.downcast() {
            Ok(said) => said,
            Err(source) => JobsError::File { path, source },
        })
    }

    /// Puts the events of a generation into the log, behind those that are there.
    fn move_events(&self, import: &Import<'_>, leaving: &LeavingGeneration) -> Result<()> {
        let id = leaving.document.id;
        let subject = self.connection.names.event(id);
        let last = self.connection.last(&self.connection.events, &subject)?;
        let mut last = match last {
            Some(message) => read_event(&message.payload)?.number,
            None => 0,
        };
        while last < leaving.events {
            let events = import.alone.events(leaving, last)?;
            if events.first().is_none_or(|event| event.number != last + 1) {
                return Err(JobsError::Corrupt { what: "list of events with a gap" });
            }
            for event in events {
                let stored = serde_json::to_vec(&event).map_err(|_| JobsError::Corrupt { what: "event" })?;
                // Without an id by which the servers drop what came twice: events that were taken out again may come anew, and of two
                // the readers drop one.
                let message = PublishMessage::build().payload(stored.into());
                self.connection.publish(subject.clone(), message)?;
                last = event.number;
            }
        }
        Ok(())
    }

    /// Documents that could not be stored. Their events go; their files belong to nothing, and a sweep finds them.
    fn refuse(&self, documents: Vec<Document>, why: &str, done: &mut Imported) {
        for document in documents {
            let at = State::ALL.iter().position(|state| *state == document.state).unwrap_or_default();
            done.moved[at] = done.moved[at].saturating_sub(1);
            done.refused.push((document.id, why.to_owned()));
            self.purge_events(document.id);
        }
    }

    /// Keeps an upload, unless its client has one of the same bytes in the service.
    fn move_upload(
        &self,
        import: &Import<'_>,
        upload: &MirroredUpload,
        (done, images): (&mut Imported, &mut HashSet<String>),
    ) -> Result<()> {
        let key = keys::upload(&upload.client, &upload.sha256);
        if let Some(Kept { .. }) = self.connection.get(&key)? {
            return Ok(());
        }
        match self.move_image(import, &upload.sha256) {
            Ok(()) => {}
            Err(error @ (JobsError::Unavailable { .. } | JobsError::StorageFull { .. })) => return Err(error),
            // Its client sends it again, as after it has expired.
            Err(error) => {
                tracing::warn!(upload = %upload.id, %error, "an upload is left");
                return Ok(());
            }
        }
        let value = serde_json::to_vec(upload).map_err(|_| JobsError::Corrupt { what: "upload" })?;
        match self.connection.put(&key, value, 0) {
            Ok(revision) => self.take_in(true, &[(key, revision, Mirrored::Upload(upload.clone()))])?,
            Err(NotWritten::Changed) => return Ok(()),
            Err(NotWritten::Unknown(why)) => return Err(unavailable(why)),
            Err(why) => return Err(why.into()),
        }
        done.uploads += 1;
        done.bytes += if images.insert(upload.sha256.clone()) { upload.bytes } else { 0 };
        Ok(())
    }
}

fn taken(request_id: &str, generation: GenerationId) -> String {
    format!("its request id {request_id} is that of {generation} in the service")
}

fn read_event(payload: &[u8]) -> Result<Event> {
    serde_json::from_slice(payload).map_err(|_| JobsError::Corrupt { what: "event" })
}
