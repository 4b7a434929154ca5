//! Files in JetStream's object store: a bucket for each shelf.
//!
//! Must not know what is in them. A file that was begun and not completed cannot be found here.

use super::{Failed, Files, Found, PAUSE, Source, longest, named};
use crate::{
    ClusterConfig, ClusterError,
    connection::{Connection, kept, stream},
    keys::Names,
};
use async_nats::{
    Client,
    jetstream::{
        Context,
        consumer::{AckPolicy, pull},
        object_store::{GetErrorKind, ObjectInfo, ObjectMetadata, ObjectStore, PutErrorKind},
        stream::{Config, LastRawMessageErrorKind, Stream},
    },
};
use futures_util::TryStreamExt;
use ltx_jobs::ports::Shelf;
use std::{fmt::Display, path::PathBuf, sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of a file that are sent at a time, where the servers take so many.
const CHUNK: usize = 256 << 10;

/// Files that are asked for at a time where all are listed.
const LISTED: usize = 256;

/// The buckets of a service.
pub(crate) struct JetStream {
    client: Client,
    jetstream: Context,
    names: Names,
    images: ObjectStore,
    latents: ObjectStore,
    outputs: ObjectStore,
}

fn away(why: impl Display) -> Failed {
    Failed::Away(why.to_string())
}

impl JetStream {
    /// Opens the buckets, and makes those that are missing.
    pub(crate) fn open(connection: &Connection, config: &ClusterConfig) -> Result<Files, ClusterError> {
        let (client, jetstream) = (connection.client.clone(), connection.jetstream.clone());
        let (names, config) = (connection.names.clone(), config.clone());
        let opened = connection.wait(async move {
            let open = async |shelf| bucket(&jetstream, &config, &names.bucket(named(shelf))).await;
            let [images, latents, outputs] =
                [open(Shelf::Images).await?, open(Shelf::Latents).await?, open(Shelf::Outputs).await?];
            Ok(Files::JetStream(Arc::new(Self { client, jetstream, names, images, latents, outputs })))
        });
        opened?
    }

    fn bucket(&self, shelf: Shelf) -> &ObjectStore {
        match shelf {
            Shelf::Images => &self.images,
            Shelf::Latents => &self.latents,
            Shelf::Outputs => &self.outputs,
        }
    }

    pub(super) fn place(&self, shelf: Shelf) -> PathBuf {
        self.names.bucket(named(shelf)).into()
    }

    pub(super) async fn put(&self, shelf: Shelf, name: &str, source: &Source) -> Result<(), Failed> {
        let (bytes, mut reader) = source.open().await?;
        let chunk = CHUNK.min(self.client.server_info().max_payload);
        let meta = ObjectMetadata { name: name.to_owned(), chunk_size: Some(chunk), ..Default::default() };
        let put = tokio::time::timeout(longest(bytes), self.bucket(shelf).put(meta, &mut reader));
        match put.await.map_err(away)? {
            Ok(_) => Ok(()),
            // The new one is there; the old one's chunks are removed with the bucket's next.
            Err(error) if error.kind() == PutErrorKind::PurgeOldChunks => Ok(()),
            Err(error) if error.kind() == PutErrorKind::ReadChunks => {
                Err(source.unreadable(std::io::Error::other(error)))
            }
            Err(error) if error.to_string().contains("insufficient resources") => Err(Failed::Full),
            Err(error) => Err(away(error)),
        }
    }

    pub(super) async fn read(
        &self,
        shelf: Shelf,
        name: &str,
        into: &mut (impl AsyncWrite + Send + Unpin),
    ) -> Result<bool, Failed> {
        let mut object = match self.bucket(shelf).get(name).await {
            Ok(object) => object,
            Err(error) if error.kind() == GetErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(away(error)),
        };
        let written = |source| Failed::Local(self.place(shelf), source);
        let mut chunk = vec![0; CHUNK];
        // One that is replaced meanwhile never ends.
        let mut left = object.info.size;
        while left > 0 {
            let more = tokio::time::timeout(PAUSE, object.read(&mut chunk)).await.map_err(away)?.map_err(away)?;
            if more == 0 {
                return Err(away("it ends early"));
            }
            into.write_all(&chunk[..more]).await.map_err(written)?;
            left = left.saturating_sub(more);
        }
        into.flush().await.map_err(written)?;
        Ok(true)
    }

    pub(super) async fn length(&self, shelf: Shelf, name: &str) -> Result<Option<u64>, Failed> {
        Ok(self.info(shelf, name).await?.map(|(info, _)| info.size as u64))
    }

    pub(super) async fn these(&self, shelf: Shelf, names: &[String]) -> Result<Vec<Found>, Failed> {
        let mut all = Vec::new();
        for name in names {
            all.extend(self.info(shelf, name).await?.map(|(info, _)| found(info)));
        }
        Ok(all)
    }

    pub(super) async fn all(&self, shelf: Shelf, folder: Option<&str>) -> Result<Vec<Found>, Failed> {
        let bucket = self.names.bucket(named(shelf));
        let stream = self.jetstream.get_stream_no_info(format!("OBJ_{bucket}")).await.map_err(away)?;
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            filter_subject: format!("$O.{bucket}.M.>"),
            inactive_threshold: Duration::from_secs(10),
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        // The client's own list waits for as many as there were at first, also for what is removed meanwhile.
        let read = async {
            let consumer = stream.create_consumer(config).await.map_err(away)?;
            let mut all = Vec::new();
            loop {
                let batch = consumer.fetch().max_messages(LISTED).messages().await.map_err(away)?;
                let batch = batch.try_collect::<Vec<_>>().await.map_err(away)?;
                if batch.is_empty() {
                    return Ok::<_, Failed>(all);
                }
                let infos = batch.iter().filter_map(|it| serde_json::from_slice::<ObjectInfo>(&it.payload).ok());
                all.extend(infos.filter(|info| !info.deleted).map(found));
            }
        };
        let mut all = tokio::time::timeout(super::FILE, read).await.map_err(away)??;
        if let Some(folder) = folder {
            all.retain(|found| found.name.split('/').next() == Some(folder));
        }
        Ok(all)
    }

    /// Removes it with its chunks; nothing of it stays.
    pub(super) async fn remove(&self, shelf: Shelf, found: &Found) -> Result<(), Failed> {
        let Some((info, revision)) = self.info(shelf, &found.name).await? else { return Ok(()) };
        if info.nuid != found.mark {
            return Ok(());
        }
        let (stream, meta) = self.file(shelf, &found.name).await?;
        let chunks = format!("$O.{}.C.{}", info.bucket, info.nuid);
        // What is put at this moment has a higher place.
        stream.purge().sequence(revision + 1).filter(meta).await.map_err(away)?;
        stream.purge().filter(chunks).await.map_err(away).map(drop)
    }

    /// The stream of a bucket, and the subject of what is known of a file in it.
    async fn file(&self, shelf: Shelf, name: &str) -> Result<(Stream<()>, String), Failed> {
        let bucket = self.names.bucket(named(shelf));
        let subject = format!("$O.{bucket}.M.{}", base64_url(name.as_bytes()));
        let stream = self.jetstream.get_stream_no_info(format!("OBJ_{bucket}")).await;
        Ok((stream.map_err(away)?, subject))
    }

    /// What is known of a file, and since which revision; `None` where there is none.
    async fn info(&self, shelf: Shelf, name: &str) -> Result<Option<(ObjectInfo, u64)>, Failed> {
        let (stream, subject) = self.file(shelf, name).await?;
        let message = match stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => message,
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok(None),
            Err(error) => return Err(away(error)),
        };
        let info: ObjectInfo = serde_json::from_slice(&message.payload).map_err(|_| Failed::Corrupt)?;
        Ok(Some((info, message.sequence)).filter(|(info, _)| !info.deleted))
    }
}

fn found(info: ObjectInfo) -> Found {
    let (name, bytes, mark) = (info.name, info.size as u64, info.nuid);
    Found { name, bytes, place: mark.clone(), mark, whole: true }
}

async fn bucket(jetstream: &Context, config: &ClusterConfig, bucket: &str) -> Result<ObjectStore, ClusterError> {
    let subjects = vec![format!("$O.{bucket}.C.>"), format!("$O.{bucket}.M.>")];
    let kept = kept(config, format!("OBJ_{bucket}"), subjects);
    // Every read asks the leader: whoever goes on from a latent must not get an older one.
    let of = Config { allow_rollup: true, allow_direct: false, ..kept };
    let name = stream(jetstream, of).await?.cached_info().config.name.clone();
    let opened = jetstream.get_object_store(bucket).await;
    opened.map_err(|error| ClusterError::Stream { stream: name, why: error.to_string() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_as_the_object_store_does() {
        for (name, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("~~~?", "fn5-Pw==")] {
            assert_eq!(base64_url(name.as_bytes()), encoded);
        }
    }
}
