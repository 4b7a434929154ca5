//! A stream of answers that is cut in its middle, as by a node that stops, if that was asked for.
//!
//! Must not know what is streamed beyond how much of it there is.

use super::Faults;
use ltx_proto::v1::{
    DownloadImageResponse, DownloadOutputResponse, WatchGenerationResponse, download_image_response,
    download_output_response, watch_generation_response::News,
};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio_stream::Stream;
use tonic::{Status, codegen::Bytes};

/// A stream, and what is left of it.
#[derive(Debug)]
pub(crate) struct Cut<S> {
    /// Gone when it was cut.
    stream: Option<S>,
    /// How much may pass, and what comes then.
    then: Option<(u64, Status)>,
}

impl<S> Cut<S> {
    /// A watch.
    pub(crate) fn watch(faults: Option<&Faults>, stream: S) -> Self {
        Self { stream: Some(stream), then: faults.and_then(Faults::watch) }
    }

    /// A download.
    pub(crate) fn download(faults: Option<&Faults>, stream: S) -> Self {
        Self { stream: Some(stream), then: faults.and_then(Faults::download) }
    }
}

impl<S, M> Stream for Cut<S>
where
    S: Stream<Item = Result<M, Status>> + Unpin,
    M: Piece,
{
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = &mut *self;
        if let Some((_, status)) = this.then.take_if(|(left, _)| *left == 0) {
            this.stream = None;
            return Poll::Ready(Some(Err(status)));
        }
        let Some(stream) = &mut this.stream else { return Poll::Ready(None) };
        let next = ready!(Pin::new(stream).poll_next(cx));
        Poll::Ready(match (next, &mut this.then) {
            (Some(Ok(piece)), Some((left, _))) => Some(Ok(piece.within(left))),
            (next, _) => next,
        })
    }
}

/// A message of which a part may pass.
trait Piece {
    /// What of it passes, which is counted.
    fn within(self, left: &mut u64) -> Self;
}

impl Piece for WatchGenerationResponse {
    fn within(self, left: &mut u64) -> Self {
        *left -= u64::from(matches!(self.news, Some(News::Event(_))));
        self
    }
}

impl Piece for DownloadOutputResponse {
    fn within(mut self, left: &mut u64) -> Self {
        if let Some(download_output_response::Part::Chunk(chunk)) = &mut self.part {
            shorten(chunk, left);
        }
        self
    }
}

impl Piece for DownloadImageResponse {
    fn within(mut self, left: &mut u64) -> Self {
        if let Some(download_image_response::Part::Chunk(chunk)) = &mut self.part {
            shorten(chunk, left);
        }
        self
    }
}

/// Leaves of a chunk what may pass.
fn shorten(chunk: &mut Bytes, left: &mut u64) {
    chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
    *left -= chunk.len() as u64;
}
