//! The events of a generation as a stream: one task a watcher, asleep while nothing happens.
//!
//! Must not know how events are kept; order and completeness are the jobs'.

use crate::{
    app::{node::Node, problem::Problem},
    grpc::to_proto,
    transport::streams::Slot,
};
use ltx_jobs::{ClientId, EventKind, GenerationId, Jobs, JobsError, PreviewWatch, Watch, WatchEnd, Watched};
use ltx_proto::v1::{self, watch_generation_response::News};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::{OwnedPermit, Sender, channel},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Events taken at once, so that a watcher far behind holds few of them.
const BATCH: usize = 64;
/// How often a watcher of what waits is told its place, if that changed.
const PLACE_EVERY: Duration = Duration::from_secs(2);

/// What a watch yields.
pub(crate) type Stream = ReceiverStream<Message>;

type Message = Result<v1::WatchGenerationResponse, Status>;

/// Begins to follow a generation.
pub(crate) async fn watch(
    node: &Arc<Node>,
    client: ClientId,
    id: GenerationId,
    (resume_after, previews): (u64, bool),
    slot: Slot,
) -> Result<Stream, Problem> {
    let asked = client.clone();
    let begun = node.read(move |jobs| {
        let watch = jobs.watch(&asked, id, resume_after)?;
        let previews = previews.then(|| jobs.previews(&asked, id)).transpose()?;
        Ok((watch, previews.map(Arc::new)))
    });
    let (watch, previews) = begun.await?;
    let (news, stream) = channel(9);
    // For an error, also when the client takes nothing.
    let last = news.clone().try_reserve_owned().map_err(|_| Problem::fault("a new channel has no room"))?;
    let watcher = Watcher { node: Arc::clone(node), client, id, previews, news, waits: false, place: None };
    tokio::spawn(async move {
        let _slot = slot;
        watcher.run(watch, last).await;
    });
    Ok(ReceiverStream::new(stream))
}

struct Watcher {
    node: Arc<Node>,
    client: ClientId,
    id: GenerationId,
    /// There while previews are wanted.
    previews: Option<Arc<PreviewWatch>>,
    news: Sender<Message>,
    /// Whether it is queued, as far as the events say.
    waits: bool,
    /// The place that was told last.
    place: Option<usize>,
}

/// Why a watcher stops.
enum Stop {
    /// The generation ended, or the client is gone.
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
    async fn run(mut self, watch: Watch, last: OwnedPermit<Message>) {
        if let Err(Stop::With(problem)) = self.follow(watch).await {
            last.send(Err(problem.into()));
        }
    }

    async fn follow(&mut self, mut watch: Watch) -> Result<(), Stop> {
        loop {
            let (client, id, kept) = (self.client.clone(), self.id, self.node.config.jobs.retention.outputs_for);
            let previews = self.previews.clone();
            let take = move |jobs: &Jobs| take(jobs, &client, id, watch, (kept, previews.as_deref()));
            let batch = self.node.read(take).await?;
            for (kind, event) in batch.events {
                self.note(&kind);
                self.send(News::Event(event)).await?;
            }
            watch = batch.watch;
            match batch.then {
                Then::More => continue,
                Then::Wait => self.wait(&mut watch).await?,
                Then::End(WatchEnd::Finished) => return Ok(()),
                Then::End(WatchEnd::Deleted) => return Err(Problem::Deleted.into()),
                Then::End(WatchEnd::Stopping) => return Err(Problem::Stopping.into()),
            }
        }
    }

    fn note(&mut self, kind: &Noted) {
        match kind {
            Noted::Queued(position) => (self.waits, self.place) = (true, Some(*position)),
            Noted::Other => self.waits = false,
        }
    }

    /// Until there may be an event; meanwhile tells how the place in the queue changes.
    async fn wait(&mut self, watch: &mut Watch) -> Result<(), Stop> {
        loop {
            let waits = self.waits;
            tokio::select! {
                () = self.news.closed() => return Err(Stop::Quietly),
                () = watch.changed() => return Ok(()),
                () = tokio::time::sleep(PLACE_EVERY), if waits => {}
            }
            let (client, id) = (self.client.clone(), self.id);
            let record = self.node.read(move |jobs| jobs.get(&client, id)).await?;
            if let Some(position) = record.position.filter(|_| record.position != self.place) {
                self.place = Some(position);
                self.tell(to_proto::place(position, record.wait_seconds)).await?;
            }
        }
    }

    async fn send(&self, news: News) -> Result<(), Stop> {
        self.tell(v1::WatchGenerationResponse { news: Some(news) }).await
    }

    async fn tell(&self, message: v1::WatchGenerationResponse) -> Result<(), Stop> {
        let limit = self.node.config.limits.idle_time;
        match timeout(limit, self.news.send(Ok(message))).await {
            Ok(sent) => sent.map_err(|_| Stop::Quietly),
            Err(_) => Err(Problem::NotTaken { limit }.into()),
        }
    }
}

/// What of an event a watcher remembers.
enum Noted {
    Queued(usize),
    Other,
}

/// What comes after a batch.
enum Then {
    More,
    Wait,
    End(WatchEnd),
}

struct Batch {
    watch: Watch,
    events: Vec<(Noted, v1::GenerationEvent)>,
    then: Then,
}

/// Takes what is there, without waiting.
fn take(
    jobs: &Jobs,
    client: &ClientId,
    id: GenerationId,
    mut watch: Watch,
    (outputs_for, previews): (Duration, Option<&PreviewWatch>),
) -> Result<Batch, JobsError> {
    let mut events = Vec::new();
    let then = loop {
        if events.len() == BATCH {
            break Then::More;
        }
        match watch.poll()? {
            Watched::Event(event) => {
                let done = match &event.kind {
                    // Deleted since: the event stands, without its generation.
                    EventKind::Done => jobs.get(client, id).ok(),
                    _ => None,
                };
                let beside = to_proto::Beside { progress: None, outputs_for };
                let done = done.map(|record| to_proto::generation(&record, &beside));
                let noted = match &event.kind {
                    EventKind::Queued { position, .. } => Noted::Queued(*position),
                    _ => Noted::Other,
                };
                let preview = previews.and_then(|previews| previews.of(&event));
                events.push((noted, to_proto::event(id, &event, done, preview)));
            }
            Watched::Pending => break Then::Wait,
            Watched::End(end) => break Then::End(end),
        }
    };
    Ok(Batch { watch, events, then })
}
