//! Files in a bucket of an S3 service.
//!
//! Must not know what is in them. An image has a name of its own each time that it is put, below its own: S3 removes whatever has a
//! name at that moment, and whoever removes an image must not remove what somebody else has put since.

use super::{Failed, Found, PAUSE, Source, longest, named, s3_errors, unfinished::Unfinished};
use crate::connection::ANSWER;
use futures_util::{StreamExt, TryStreamExt};
use ltx_jobs::ports::Shelf;
use object_store::{
    Error, GetOptions, ObjectMeta, ObjectStore, PutPayload,
    multipart::{MultipartStore, PartId},
    path::Path,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use uuid::Uuid;

/// The most bytes of a file that are sent or asked for at once. S3 takes parts of 5 MiB at least, and 10,000 of them.
pub(super) const PART: usize = 8 << 20;

/// How often a part of a file is sent, so that one bad moment does not cost the others.
const TRIES: usize = 3;

/// What keeps objects whole and in parts.
pub trait Bucket: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> Bucket for T {}

/// The files of a service in a bucket.
pub(crate) struct S3 {
    pub(super) bucket: Arc<dyn Bucket>,
    /// What finds uploads that nobody completed; `None` where there are none.
    pub(super) unfinished: Option<Unfinished>,
    /// What every name begins with.
    pub(super) base: String,
    /// What the bucket is called in messages.
    pub(super) called: String,
    /// The most bytes at once.
    pub(super) part: usize,
    /// Whether it could not be reached the last time.
    pub(super) away: AtomicBool,
}

/// Waits for an answer, but not for ever.
pub(super) async fn within<T>(
    time: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<Result<T, Error>, Failed> {
    timeout(time, answer).await.map_err(|_| Failed::Away("S3 does not answer in time".to_owned()))
}

impl S3 {
    pub(crate) fn new(bucket: Arc<dyn Bucket>, base: String, called: String) -> Self {
        Self { bucket, unfinished: None, base, called, part: PART, away: AtomicBool::new(false) }
    }

    /// What the bucket is called in messages.
    pub(crate) fn called(&self) -> &str {
        &self.called
    }

    pub(super) fn place(&self, shelf: Shelf) -> PathBuf {
        PathBuf::from(format!("{}/{}", self.called, named(shelf)))
    }

    fn folder(&self, shelf: Shelf, below: Option<&str>) -> Path {
        let shelf = format!("{}/{}", self.base, named(shelf));
        Path::from(below.map_or_else(|| shelf.clone(), |below| format!("{shelf}/{below}")))
    }

    /// The name on a shelf of what has a key.
    fn name(&self, shelf: Shelf, key: &str) -> Option<String> {
        let name = key.strip_prefix(self.folder(shelf, None).as_ref())?.strip_prefix('/')?;
        Some(if shelf == Shelf::Images { name.split('/').next()? } else { name }.to_owned())
    }

    /// Says once that it is away, and once that it is back.
    fn noted<T>(&self, answered: Result<T, Failed>) -> Result<T, Failed> {
        match &answered {
            Err(Failed::Away(why)) if !self.away.swap(true, Ordering::Relaxed) => {
                tracing::warn!(bucket = self.called, why, "the cluster's files cannot be reached");
            }
            Ok(_) if self.away.swap(false, Ordering::Relaxed) => {
                tracing::info!(bucket = self.called, "the cluster's files are reached again");
            }
            _ => {}
        }
        answered
    }

    pub(super) async fn put(&self, shelf: Shelf, name: &str, source: &Source) -> Result<(), Failed> {
        let key = match shelf {
            Shelf::Images => self.folder(shelf, Some(&format!("{name}/{}", Uuid::now_v7()))),
            _ => self.folder(shelf, Some(name)),
        };
        let (bytes, mut reader) = source.open().await?;
        let put = match bytes <= self.part as u64 {
            true => self.put_at_once(&key, source, &mut reader).await,
            false => self.put_in_parts(&key, source, &mut reader).await,
        };
        self.noted(put)
    }

    async fn put_at_once(
        &self,
        key: &Path,
        source: &Source,
        reader: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<(), Failed> {
        let bytes = next(reader, self.part).await.map_err(|why| source.unreadable(why))?;
        let time = longest(bytes.len() as u64);
        within(time, self.bucket.put(key, PutPayload::from(bytes))).await?.map_err(s3_errors::failed)?;
        Ok(())
    }

    /// What is not completed is given up, so that nothing of it stays.
    async fn put_in_parts(
        &self,
        key: &Path,
        source: &Source,
        reader: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<(), Failed> {
        let id = within(ANSWER, self.bucket.create_multipart(key)).await?.map_err(s3_errors::failed)?;
        let put = async {
            let parts = self.parts((key, &id), source, reader).await?;
            let complete = self.bucket.complete_multipart(key, &id, parts);
            within(super::FILE, complete).await?.map_err(s3_errors::failed)
        };
        let Err(failed) = put.await else { return Ok(()) };
        // Where that fails too, it is found when the generation's or the image's files are removed.
        let _ = within(ANSWER, self.bucket.abort_multipart(key, &id)).await;
        Err(failed)
    }

    async fn parts(
        &self,
        (key, id): (&Path, &String),
        source: &Source,
        reader: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<Vec<PartId>, Failed> {
        let mut parts = Vec::new();
        loop {
            let bytes = next(reader, self.part).await.map_err(|why| source.unreadable(why))?;
            if bytes.is_empty() {
                return Ok(parts);
            }
            let (time, payload) = (longest(bytes.len() as u64), PutPayload::from(bytes));
            let mut tries = 0;
            let part = loop {
                let sent = within(time, self.bucket.put_part(key, id, parts.len(), payload.clone())).await;
                tries += 1;
                match sent.and_then(|sent| sent.map_err(s3_errors::failed)) {
                    Err(Failed::Away(_)) if tries < TRIES => tokio::time::sleep(Duration::from_millis(300)).await,
                    sent => break sent?,
                }
            };
            parts.push(part);
        }
    }

    /// Some bytes at a time, so that no more than those are in memory, and all of the same object.
    pub(super) async fn read(
        &self,
        shelf: Shelf,
        name: &str,
        into: &mut (impl AsyncWrite + Send + Unpin),
    ) -> Result<bool, Failed> {
        let read = async {
            if shelf != Shelf::Images {
                return self.read_key(&self.folder(shelf, Some(name)), into).await;
            }
            // One of them may be removed at this moment; another one has been put then.
            for found in self.whole(shelf, Some(name)).await?.iter().rev() {
                if self.read_key(&key(&found.place)?, into).await? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        self.noted(read.await)
    }

    async fn read_key(&self, key: &Path, into: &mut (impl AsyncWrite + Send + Unpin)) -> Result<bool, Failed> {
        let written = |source| Failed::Local(PathBuf::from(&self.called), source);
        let (mut at, mut tag, mut size) = (0, None, None);
        while size.is_none_or(|size| at < size) {
            let range = Some((at..at + self.part as u64).into());
            let options = GetOptions { range, if_match: tag.clone(), ..GetOptions::default() };
            let answer = match within(ANSWER, self.bucket.get_opts(key, options)).await? {
                Ok(answer) => answer,
                Err(error) if at == 0 && s3_errors::is_missing(&error) => return Ok(false),
                // Of nothing there is no range.
                Err(_) if at == 0 && self.is_empty(key).await => return Ok(true),
                Err(error) => return Err(s3_errors::failed(error)),
            };
            (size, tag) = (Some(answer.meta.size), answer.meta.e_tag.clone());
            let (began, mut bytes) = (at, answer.into_stream());
            while let Some(some) = timeout(PAUSE, bytes.next()).await.map_err(|late| Failed::Away(late.to_string()))? {
                let some = some.map_err(s3_errors::failed)?;
                into.write_all(&some).await.map_err(written)?;
                at += some.len() as u64;
            }
            if at == began {
                return Err(Failed::Away("it ends early".to_owned()));
            }
        }
        into.flush().await.map_err(written)?;
        Ok(true)
    }

    async fn is_empty(&self, key: &Path) -> bool {
        matches!(within(ANSWER, self.bucket.head(key)).await, Ok(Ok(ObjectMeta { size: 0, .. })))
    }

    pub(super) async fn length(&self, shelf: Shelf, name: &str) -> Result<Option<u64>, Failed> {
        let length = async {
            if shelf == Shelf::Images {
                return Ok(self.whole(shelf, Some(name)).await?.last().map(|found| found.bytes));
            }
            match within(ANSWER, self.bucket.head(&self.folder(shelf, Some(name)))).await? {
                Ok(meta) => Ok(Some(meta.size)),
                Err(error) if s3_errors::is_missing(&error) => Ok(None),
                Err(error) => Err(s3_errors::failed(error)),
            }
        };
        self.noted(length.await)
    }

    pub(super) async fn these(&self, shelf: Shelf, names: &[String]) -> Result<Vec<Found>, Failed> {
        let folders: BTreeSet<_> = names.iter().filter_map(|name| name.split('/').next()).collect();
        let mut these = Vec::new();
        for folder in folders {
            these.extend(self.all(shelf, Some(folder)).await?);
        }
        these.retain(|found| names.contains(&found.name));
        Ok(these)
    }

    pub(super) async fn all(&self, shelf: Shelf, folder: Option<&str>) -> Result<Vec<Found>, Failed> {
        let all = async {
            let mut all = self.whole(shelf, folder).await?;
            let Some(unfinished) = &self.unfinished else { return Ok(all) };
            for upload in unfinished.below(&format!("{}/", self.folder(shelf, folder))).await? {
                let Some(name) = self.name(shelf, &upload.key) else { continue };
                all.push(Found { name, bytes: 0, mark: upload.id, place: upload.key, whole: false });
            }
            Ok(all)
        };
        self.noted(all.await)
    }

    /// What is there and whole; of an image the last is the one that was put last.
    async fn whole(&self, shelf: Shelf, folder: Option<&str>) -> Result<Vec<Found>, Failed> {
        let list = self.bucket.list(Some(&self.folder(shelf, folder))).try_collect::<Vec<_>>();
        let list = within(super::FILE, list).await?.map_err(s3_errors::failed)?;
        let mut by_key = BTreeMap::new();
        for ObjectMeta { location, last_modified, size, e_tag, .. } in list {
            let place = location.to_string();
            let Some(name) = self.name(shelf, &place) else { continue };
            // What is put again under a key is another file.
            let mark = format!("{place} {} {last_modified}", e_tag.unwrap_or_default());
            by_key.insert(place.clone(), Found { name, bytes: size, mark, place, whole: true });
        }
        Ok(by_key.into_values().collect())
    }

    pub(super) async fn remove(&self, _shelf: Shelf, found: &Found) -> Result<(), Failed> {
        let key = key(&found.place)?;
        let removed = match found.whole {
            true => within(ANSWER, self.bucket.delete(&key)).await,
            false => within(ANSWER, self.bucket.abort_multipart(&key, &found.mark)).await,
        };
        self.noted(removed.and_then(|removed| match removed {
            Err(error) if !s3_errors::is_missing(&error) => Err(s3_errors::failed(error)),
            _ => Ok(()),
        }))
    }
}

/// The key of what was found.
fn key(place: &str) -> Result<Path, Failed> {
    Path::parse(place).map_err(|why| Failed::Away(why.to_string()))
}

/// The next bytes, so many at most; none at the end.
async fn next(reader: &mut (dyn AsyncRead + Send + Unpin), most: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(most as u64).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    const ID: &str = "018f0000-0000-7000-8000-000000000001";

    /// A store of parts of four bytes.
    fn store() -> (S3, Arc<InMemory>) {
        let memory = Arc::new(InMemory::new());
        let store = S3::new(Arc::clone(&memory) as _, "here/ltxd".to_owned(), "s3://bucket/here".to_owned());
        (S3 { part: 4, ..store }, memory)
    }

    fn bytes(of: &[u8]) -> Source {
        Source::Bytes(Arc::from(of))
    }

    async fn read(store: &S3, shelf: Shelf, name: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        store.read(shelf, name, &mut bytes).await.unwrap().then_some(bytes)
    }

    #[tokio::test]
    async fn what_is_put_comes_back_whatever_its_length() {
        let (store, _) = store();
        for length in [0, 1, 3, 4, 5, 8, 9, 31] {
            let (all, name) = ((0..length).collect::<Vec<u8>>(), format!("{ID}/1/{length}"));
            store.put(Shelf::Outputs, &name, &bytes(&all)).await.unwrap();
            assert_eq!(read(&store, Shelf::Outputs, &name).await, Some(all));
            assert_eq!(store.length(Shelf::Outputs, &name).await.unwrap(), Some(length.into()));
        }
        assert_eq!(read(&store, Shelf::Outputs, "other/1/3").await, None);
        assert_eq!(store.length(Shelf::Outputs, "other/1/3").await.unwrap(), None);
        assert_eq!(store.these(Shelf::Outputs, &[format!("{ID}/1/3"), format!("{ID}/2/3")]).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_file_is_sent_from_where_it_lies_and_one_that_is_not_there_is_named() {
        let (store, folder) = (store().0, tempfile::tempdir().unwrap());
        let path = folder.path().join("video.mp4");
        let missing = store.put(Shelf::Outputs, "a/1/video.mp4", &Source::File(path.clone())).await;
        assert!(matches!(missing, Err(Failed::Local(named, _)) if named == path));
        std::fs::write(&path, b"nine bytes").unwrap();
        store.put(Shelf::Outputs, "a/1/video.mp4", &Source::File(path)).await.unwrap();
        assert_eq!(read(&store, Shelf::Outputs, "a/1/video.mp4").await.as_deref(), Some(&b"nine bytes"[..]));
    }

    #[tokio::test]
    async fn a_latent_that_is_put_again_replaces_the_one_before() {
        let (store, memory) = store();
        let name = format!("{ID}/1/latent");
        store.put(Shelf::Latents, &name, &bytes(b"step 1")).await.unwrap();
        let before = store.all(Shelf::Latents, None).await.unwrap();
        store.put(Shelf::Latents, &name, &bytes(b"step 2")).await.unwrap();
        let after = store.all(Shelf::Latents, Some(ID)).await.unwrap();
        assert_eq!((before.len(), after.len()), (1, 1));
        assert_ne!(before[0].mark, after[0].mark, "who looks whether it is still the same sees that it is not");
        assert_eq!(read(&store, Shelf::Latents, &name).await.as_deref(), Some(&b"step 2"[..]));
        store.remove(Shelf::Latents, &after[0]).await.unwrap();
        store.remove(Shelf::Latents, &after[0]).await.unwrap();
        assert_eq!(memory.list(None).count().await, 0);
    }

    #[tokio::test]
    async fn an_image_that_is_put_while_it_is_removed_stays() {
        let (store, _) = store();
        let image = "a".repeat(64);
        store.put(Shelf::Images, &image, &bytes(b"picture")).await.unwrap();
        let found = store.these(Shelf::Images, std::slice::from_ref(&image)).await.unwrap();
        assert_eq!((found.len(), found[0].name.as_str(), found[0].bytes), (1, image.as_str(), 7));
        store.put(Shelf::Images, &image, &bytes(b"picture")).await.unwrap();
        store.remove(Shelf::Images, &found[0]).await.unwrap();
        assert_eq!(read(&store, Shelf::Images, &image).await.as_deref(), Some(&b"picture"[..]));
        assert_eq!(store.length(Shelf::Images, &image).await.unwrap(), Some(7));
        for found in store.all(Shelf::Images, None).await.unwrap() {
            store.remove(Shelf::Images, &found).await.unwrap();
        }
        assert_eq!(read(&store, Shelf::Images, &image).await, None);
    }

    #[tokio::test]
    async fn services_and_prefixes_do_not_see_each_other() {
        let (store, memory) = store();
        let of = |base: &str| S3::new(Arc::clone(&memory) as _, base.to_owned(), String::new());
        let others = [of("here/ltxd2"), of("here"), of("ltxd"), of("here/ltxd/images")];
        store.put(Shelf::Outputs, "a/1/video.mp4", &bytes(b"clip")).await.unwrap();
        for other in &others {
            assert_eq!(other.all(Shelf::Outputs, None).await.unwrap(), []);
            other.put(Shelf::Outputs, "b/1/video.mp4", &bytes(b"other")).await.unwrap();
        }
        let names: Vec<_> = store.all(Shelf::Outputs, None).await.unwrap().into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["a/1/video.mp4"]);
    }
}
