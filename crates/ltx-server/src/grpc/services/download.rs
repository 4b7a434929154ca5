//! A file of a generation, chunk by chunk: an output, or an image that it was given.
//!
//! Must not know what is in it.

use crate::{
    app::{Node, OpenImage, Problem},
    grpc::to_proto,
    transport::streams::Slot,
};
use ltx_jobs::{OpenOutput, OutputFile, OutputKind};
use ltx_proto::v1::{self, download_image_response, download_output_response};
use std::{fs, io::SeekFrom, time::Duration};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    sync::mpsc::{Sender, channel},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, codegen::Bytes};

/// Bytes of a chunk.
const CHUNK: u64 = 256 << 10;

/// What a download yields.
pub(crate) type Parts<M> = ReceiverStream<Result<M, Status>>;

/// What is downloaded: a file from an offset to its end, in messages of a kind.
pub(super) struct Download<M> {
    /// What is said of the file.
    about: M,
    /// A message with bytes of it.
    chunk: fn(Bytes) -> M,
    file: fs::File,
    offset: u64,
    bytes: u64,
}

impl Download<v1::DownloadOutputResponse> {
    /// An output.
    pub(super) fn output(kind: OutputKind, output: OpenOutput, offset: u64) -> Self {
        use download_output_response::Part;
        let OpenOutput { file, bytes, sha256 } = output;
        let about = Part::File(to_proto::output_file(&OutputFile { kind, bytes, sha256 }));
        let about = v1::DownloadOutputResponse { part: Some(about) };
        let chunk = |bytes| v1::DownloadOutputResponse { part: Some(Part::Chunk(bytes)) };
        Self { about, chunk, file, offset, bytes }
    }
}

impl Download<v1::DownloadImageResponse> {
    /// An image that was given.
    pub(super) fn image(image: OpenImage, offset: u64) -> Self {
        use download_image_response::Part;
        let about = v1::DownloadImageResponse { part: Some(Part::File(to_proto::image_file(&image))) };
        let chunk = |bytes| v1::DownloadImageResponse { part: Some(Part::Chunk(bytes)) };
        Self { about, chunk, file: image.file, offset, bytes: image.bytes }
    }
}

/// Begins to send a file; `slot` is held until the stream has ended.
///
/// # Errors
/// `Fault`.
pub(super) fn stream<M: Send + 'static>(node: &Node, download: Download<M>, slot: Slot) -> Result<Parts<M>, Problem> {
    let Download { about, chunk, file, offset, bytes } = download;
    let (parts, stream) = channel(3);
    let last = parts.clone().try_reserve_owned().map_err(|_| Problem::fault("a new channel has no room"))?;
    let idle = node.config.limits.idle_time;
    tokio::spawn(async move {
        let _slot = slot;
        let sender = PartSender { parts, idle, chunk };
        let sent = match sender.send(about).await {
            Some(()) => sender.send_file(File::from_std(file), offset, bytes).await,
            None => None,
        };
        if sent.is_none() {
            // The client is gone, or takes nothing any more; then it must not look like the file's end.
            last.send(Err(Problem::NotTaken { limit: idle }.into()));
        }
    });
    Ok(ReceiverStream::new(stream))
}

/// The sending end.
struct PartSender<M> {
    parts: Sender<Result<M, Status>>,
    /// How long a client may take nothing.
    idle: Duration,
    chunk: fn(Bytes) -> M,
}

impl<M> PartSender<M> {
    async fn send(&self, message: M) -> Option<()> {
        timeout(self.idle, self.parts.send(Ok(message))).await.ok()?.ok()
    }

    /// Sends from an offset to the end.
    async fn send_file(&self, mut file: File, offset: u64, total: u64) -> Option<()> {
        let mut at = offset;
        let mut failed = file.seek(SeekFrom::Start(offset)).await.err();
        while at < total && failed.is_none() {
            let mut chunk = vec![0; CHUNK.min(total - at) as usize];
            match file.read_exact(&mut chunk).await {
                Ok(_) => {
                    at += chunk.len() as u64;
                    self.send((self.chunk)(chunk.into())).await?;
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            let status = Problem::fault(format!("a file cannot be read: {error}")).into();
            // If it cannot be told, the client is gone.
            let _ = self.parts.send(Err(status)).await;
        }
        Some(())
    }
}
