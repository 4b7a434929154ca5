//! Following a generation: its events as they come, and meanwhile how its place in the queue changes.
//!
//! Must not know how events are kept (order and completeness are the jobs'), nor how a face sends them.

use super::{Node, Problem};
use ltx_jobs::{
    ClientId, Event, EventKind, GenerationId, GenerationRecord, Jobs, JobsError, PreviewWatch, Watch, WatchEnd, Watched,
};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// Events taken at once, so that a follower far behind holds few of them.
const BATCH: usize = 64;
/// How often a follower of what waits is told its place, if that changed.
const PLACE_EVERY: Duration = Duration::from_secs(2);

/// What a client wants to follow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// The generation.
    pub(crate) id: GenerationId,
    /// The number of the last event that the client has seen; 0 for none.
    pub(crate) resume_after: u64,
    /// Whether it wants pictures of the clip in the making.
    pub(crate) previews: bool,
}

/// What a follower is told.
#[derive(Debug)]
pub(crate) enum News {
    /// Something happened.
    Event(Happened),
    /// It waits at another place of the queue.
    Place {
        /// Generations that would run before it.
        position: usize,
        /// Seconds until it would begin, where that can be estimated.
        seconds: Option<f64>,
    },
}

/// An event with what a follower is told beside it.
#[derive(Debug)]
pub(crate) struct Happened {
    /// The event.
    pub(crate) event: Arc<Event>,
    /// The finished generation, in the event that says it is done; `None` where it was deleted since.
    pub(crate) done: Option<Box<GenerationRecord>>,
    /// What the clip looks like at this step, as a PNG.
    pub(crate) preview: Option<Arc<[u8]>>,
}

/// One client's view of one generation.
pub(crate) struct Following {
    node: Arc<Node>,
    client: ClientId,
    id: GenerationId,
    /// There while previews are wanted.
    previews: Option<Arc<PreviewWatch>>,
    /// Not here only while it is being read.
    watch: Option<Watch>,
    ready: VecDeque<Happened>,
    then: Then,
    /// Whether it is queued, as far as the events say.
    waits: bool,
    /// The place that was told last.
    place: Option<usize>,
}

/// What comes after the events that are ready.
#[derive(Debug, Clone, Copy)]
enum Then {
    More,
    Wait,
    End(WatchEnd),
}

impl Node {
    /// Begins to follow a generation.
    ///
    /// # Errors
    /// `NotFound`, `EventsUnknown`, `Database`, `Corrupt`.
    pub(crate) async fn follow(self: &Arc<Self>, client: ClientId, wanted: Wanted) -> Result<Following, Problem> {
        let Wanted { id, resume_after, previews } = wanted;
        let asked = client.clone();
        let begun = self.read(move |jobs| {
            let watch = jobs.watch(&asked, id, resume_after)?;
            let previews = previews.then(|| jobs.previews(&asked, id)).transpose()?;
            Ok((watch, previews.map(Arc::new)))
        });
        let (watch, previews) = begun.await?;
        Ok(Following {
            node: Arc::clone(self),
            client,
            id,
            previews,
            watch: Some(watch),
            ready: VecDeque::new(),
            then: Then::More,
            waits: false,
            place: None,
        })
    }
}

impl Following {
    /// The generation that is followed.
    pub(crate) fn id(&self) -> GenerationId {
        self.id
    }

    /// Waits for the next news; `None` after the generation's last event. What is dropped before it has answered cannot be
    /// followed further.
    ///
    /// # Errors
    /// `Deleted`, `Stopping`; `Database`, `Corrupt`.
    pub(crate) async fn next(&mut self) -> Result<Option<News>, Problem> {
        loop {
            if let Some(happened) = self.ready.pop_front() {
                self.note(&happened.event.kind);
                return Ok(Some(News::Event(happened)));
            }
            match self.then {
                Then::More => self.take().await?,
                Then::Wait => {
                    if let Some(place) = self.wait().await? {
                        return Ok(Some(place));
                    }
                    self.then = Then::More;
                }
                Then::End(WatchEnd::Finished) => return Ok(None),
                Then::End(WatchEnd::Deleted) => return Err(Problem::Deleted),
                Then::End(WatchEnd::Stopping) => return Err(Problem::Stopping),
            }
        }
    }

    fn note(&mut self, kind: &EventKind) {
        match kind {
            EventKind::Queued { position, .. } => (self.waits, self.place) = (true, Some(*position)),
            _ => self.waits = false,
        }
    }

    /// Takes the events that are there.
    async fn take(&mut self) -> Result<(), Problem> {
        let (client, id, previews) = (self.client.clone(), self.id, self.previews.clone());
        let watch = self.watch.take().ok_or_else(|| Problem::fault("a generation is not followed any more"))?;
        let batch = self.node.read(move |jobs| batch(jobs, &client, id, watch, previews.as_deref())).await?;
        (self.watch, self.ready, self.then) = (Some(batch.watch), batch.events, batch.then);
        Ok(())
    }

    /// Until there may be an event (`None`), or the place in the queue has changed.
    async fn wait(&mut self) -> Result<Option<News>, Problem> {
        let Some(watch) = &mut self.watch else { return Ok(None) };
        loop {
            tokio::select! {
                () = watch.changed() => return Ok(None),
                () = tokio::time::sleep(PLACE_EVERY), if self.waits => {}
            }
            let (client, id) = (self.client.clone(), self.id);
            let record = self.node.read(move |jobs| jobs.get(&client, id)).await?;
            if let Some(position) = record.position.filter(|_| record.position != self.place) {
                self.place = Some(position);
                return Ok(Some(News::Place { position, seconds: record.wait_seconds }));
            }
        }
    }
}

struct Batch {
    watch: Watch,
    events: VecDeque<Happened>,
    then: Then,
}

/// Takes what is there, without waiting.
fn batch(
    jobs: &Jobs,
    client: &ClientId,
    id: GenerationId,
    mut watch: Watch,
    previews: Option<&PreviewWatch>,
) -> Result<Batch, JobsError> {
    let mut events = VecDeque::new();
    let then = loop {
        if events.len() == BATCH {
            break Then::More;
        }
        match watch.poll()? {
            Watched::Event(event) => {
                let done = match &event.kind {
                    // Deleted since: the event stands, without its generation.
                    EventKind::Done => jobs.get(client, id).ok().map(Box::new),
                    _ => None,
                };
                let preview = previews.and_then(|previews| previews.of(&event));
                events.push_back(Happened { event, done, preview });
            }
            Watched::Pending => break Then::Wait,
            Watched::End(end) => break Then::End(end),
        }
    };
    Ok(Batch { watch, events, then })
}
