//! The news of a generation as a stream: one task a watcher, asleep while nothing happens.
//!
//! Must not know what is news; the application says it.

use crate::{
    app::{Following, Happened, News, Node, Problem},
    grpc::to_proto::{self, Beside},
    transport::streams::Slot,
};
use ltx_jobs::GenerationId;
use ltx_proto::v1::{self, watch_generation_response::News as Wire};
use std::time::Duration;
use tokio::{
    sync::mpsc::{Sender, channel},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// What a watch yields.
pub(crate) type Stream = ReceiverStream<Message>;

type Message = Result<v1::WatchGenerationResponse, Status>;

/// Sends what is followed; `slot` is held until the stream has ended.
///
/// # Errors
/// `Fault`.
pub(super) fn stream(node: &Node, following: Following, slot: Slot) -> Result<Stream, Problem> {
    let (news, stream) = channel(9);
    // For an error, also when the client takes nothing.
    let last = news.clone().try_reserve_owned().map_err(|_| Problem::fault("a new channel has no room"))?;
    let outputs_for = node.config.jobs.retention.outputs_for;
    let watcher = Watcher { id: following.id(), news, idle: node.config.limits.idle_time, outputs_for };
    tokio::spawn(async move {
        let _slot = slot;
        if let Err(Stop::With(problem)) = watcher.send_all(following).await {
            last.send(Err(problem.into()));
        }
    });
    Ok(ReceiverStream::new(stream))
}

/// The sending end of a watch.
struct Watcher {
    id: GenerationId,
    news: Sender<Message>,
    /// How long a client may take nothing.
    idle: Duration,
    outputs_for: Duration,
}

/// Why a watcher stops before the end.
enum Stop {
    /// The client is gone.
    Quietly,
    /// Something else, which the client is told.
    With(Problem),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::With(problem)
    }
}

impl Watcher {
    async fn send_all(&self, mut following: Following) -> Result<(), Stop> {
        loop {
            let news = tokio::select! {
                () = self.news.closed() => return Err(Stop::Quietly),
                news = following.next() => news?,
            };
            let Some(news) = news else { return Ok(()) };
            let news = match news {
                News::Event(happened) => Wire::Event(self.event(happened)),
                News::Place { position, seconds } => Wire::Place(to_proto::place(position, seconds)),
            };
            match timeout(self.idle, self.news.send(Ok(v1::WatchGenerationResponse { news: Some(news) }))).await {
                Ok(sent) => sent.map_err(|_| Stop::Quietly)?,
                Err(_) => return Err(Problem::NotTaken { limit: self.idle }.into()),
            }
        }
    }

    fn event(&self, Happened { event, done, preview }: Happened) -> v1::GenerationEvent {
        let beside = Beside { progress: None, outputs_for: self.outputs_for };
        let done = done.map(|record| to_proto::generation(&record, &beside));
        to_proto::event(self.id, &event, done, preview)
    }
}
