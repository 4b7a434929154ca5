//! A file of a generation, chunk by chunk.
//!
//! Must not know what is in it.

use crate::{
    app::{node::Node, problem::Problem},
    grpc::to_proto,
    transport::streams::Slot,
};
use ltx_jobs::{ClientId, GenerationId, OpenOutput, OutputFile, OutputKind};
use ltx_proto::v1::{self, download_output_response::Part};
use std::{io::SeekFrom, sync::Arc};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    sync::mpsc::{Sender, channel},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Bytes of a chunk.
const CHUNK: u64 = 256 << 10;

/// What a download yields.
pub(crate) type Parts = ReceiverStream<Result<v1::DownloadOutputResponse, Status>>;

/// Opens a file and begins to send it.
pub(crate) async fn download(
    node: &Arc<Node>,
    client: ClientId,
    (id, kind): (GenerationId, OutputKind),
    offset: u64,
    slot: Slot,
) -> Result<Parts, Problem> {
    let OpenOutput { file, bytes, sha256 } = node.read(move |jobs| jobs.open_output(&client, id, kind)).await?;
    if offset > bytes {
        return Err(Problem::OffsetOutOfRange { offset, total_bytes: bytes });
    }
    let about = to_proto::output_file(&OutputFile { kind, bytes, sha256 });
    let (parts, stream) = channel(3);
    let last = parts.clone().try_reserve_owned().map_err(|_| Problem::fault("a new channel has no room"))?;
    let node = Arc::clone(node);
    tokio::spawn(async move {
        let _slot = slot;
        let limit = node.config.limits.idle_time;
        let parts = Parting { node, parts };
        let about = parts.send(Part::File(about)).await;
        let sent = match about {
            Some(()) => parts.send_file(File::from_std(file), offset, bytes).await,
            None => None,
        };
        if sent.is_none() {
            // The client is gone, or takes nothing any more; then it must not look like the file's end.
            last.send(Err(Problem::NotTaken { limit }.into()));
        }
    });
    Ok(ReceiverStream::new(stream))
}

/// The sending end.
struct Parting {
    node: Arc<Node>,
    parts: Sender<Result<v1::DownloadOutputResponse, Status>>,
}

impl Parting {
    async fn send(&self, part: Part) -> Option<()> {
        let message = Ok(v1::DownloadOutputResponse { part: Some(part) });
        timeout(self.node.config.limits.idle_time, self.parts.send(message)).await.ok()?.ok()
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
                    self.send(Part::Chunk(chunk.into())).await?;
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            let status = Problem::fault(format!("an output cannot be read: {error}")).into();
            // If it cannot be told, the client is gone.
            let _ = self.parts.send(Err(status)).await;
        }
        Some(())
    }
}
