//! A client's generations: looked at, listed, cancelled, deleted, and their files opened.
//!
//! Must not know how they are kept, nor how a face shows them.

use super::{Node, Problem};
use ltx_jobs::{
    ClientId, Event, EventKind, Filter, GenerationId, GenerationRecord, Jobs, JobsError, OpenOutput, OutputKind,
    PageToken, State, Watched,
};
use std::sync::Arc;

/// A generation as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// What is known of it.
    pub(crate) record: GenerationRecord,
    /// Its latest event of progress, while it runs.
    pub(crate) progress: Option<Arc<Event>>,
}

impl Snapshot {
    fn of(jobs: &Jobs, record: GenerationRecord) -> Self {
        let progress = if record.state == State::Running { latest_progress(jobs, &record) } else { None };
        Self { record, progress }
    }
}

/// The progress among the last two events: only a request to cancel comes behind it.
fn latest_progress(jobs: &Jobs, record: &GenerationRecord) -> Option<Arc<Event>> {
    let mut watch = jobs.watch(&record.client, record.id, record.last_event.saturating_sub(2)).ok()?;
    let mut latest = None;
    while let Ok(Watched::Event(event)) = watch.poll() {
        if let EventKind::Progress { .. } = event.kind {
            latest = Some(event);
        }
    }
    latest
}

/// Which generations a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listing {
    /// Generations of a page, at least one.
    pub(crate) size: usize,
    /// Where the page begins; `None` for the first.
    pub(crate) after: Option<PageToken>,
    /// Which of the client's generations are listed.
    pub(crate) filter: Filter,
}

/// Records that are read in one go, so that a page holds few that it has no room for.
const READ_AT_ONCE: usize = 16;

/// A generation as a face sends it.
pub(crate) struct Shown<T> {
    /// What is sent.
    pub(crate) item: T,
    /// Its bytes on the wire.
    pub(crate) bytes: usize,
}

/// A page as a face sends it.
#[derive(Debug)]
pub(crate) struct ShownPage<T> {
    /// The generations, newest first.
    pub(crate) items: Vec<T>,
    /// Where the next page begins; `None` after the last.
    pub(crate) next: Option<PageToken>,
}

impl Node {
    /// One generation.
    ///
    /// # Errors
    /// `NotFound`, `Database`, `Corrupt`.
    pub(crate) async fn get(&self, client: ClientId, id: GenerationId) -> Result<Snapshot, Problem> {
        self.read(move |jobs| Ok(Snapshot::of(jobs, jobs.get(&client, id)?))).await
    }

    /// One page of a client's generations, each as `show` makes it: at most `room` bytes of them, though at least one; shorter
    /// than asked for only where the next has no room.
    ///
    /// # Errors
    /// `Field` when the page token was given for another filter; `Database`, `Corrupt`.
    pub(crate) async fn list<T: Send + 'static>(
        &self,
        client: ClientId,
        listing: Listing,
        room: usize,
        show: impl Fn(Snapshot) -> Shown<T> + Send + 'static,
    ) -> Result<ShownPage<T>, Problem> {
        self.read(move |jobs| page(jobs, &client, &listing, room, show)).await
    }

    /// Stops a generation, and the others of its request where the `batch` is meant; says how it stands then. What has ended stays as
    /// it is.
    ///
    /// # Errors
    /// `NotFound`, `Database`, `StorageFull`, `Corrupt`.
    pub(crate) async fn cancel(&self, client: ClientId, id: GenerationId, batch: bool) -> Result<Snapshot, Problem> {
        let asked = client.clone();
        self.write(move |jobs| Ok(cancel(jobs, &asked, id, batch)?)).await?;
        tracing::info!("asked to cancel");
        self.get(client, id).await
    }

    /// Forgets a generation that has ended, with its outputs.
    ///
    /// # Errors
    /// `NotFound`, `NotEnded`, `Database`, `StorageFull`, `File`.
    pub(crate) async fn delete(&self, client: ClientId, id: GenerationId) -> Result<(), Problem> {
        self.write(move |jobs| Ok(jobs.delete(&client, id)?)).await
    }

    /// Opens a file of a generation that is to be read from `offset`.
    ///
    /// # Errors
    /// `OffsetOutOfRange`; `NotFound`, `NoOutput`, `Database`, `Corrupt`, `File`.
    pub(crate) async fn open_output(
        &self,
        client: ClientId,
        id: GenerationId,
        kind: OutputKind,
        offset: u64,
    ) -> Result<OpenOutput, Problem> {
        let output = self.read(move |jobs| jobs.open_output(&client, id, kind)).await?;
        match output.bytes {
            total_bytes if offset > total_bytes => Err(Problem::OffsetOutOfRange { offset, total_bytes }),
            _ => Ok(output),
        }
    }
}

/// From the last on, so that none begins because the one before it has been cancelled.
fn cancel(jobs: &Jobs, client: &ClientId, id: GenerationId, batch: bool) -> Result<(), JobsError> {
    let ids = match batch {
        true => jobs.with_its_batch(client, id)?.iter().map(|record| record.id).collect(),
        false => vec![id],
    };
    for each in ids.into_iter().rev() {
        match jobs.cancel(client, each) {
            // Nothing to do for one that has ended, or was deleted meanwhile.
            Ok(_) | Err(JobsError::Ended { .. }) => {}
            Err(JobsError::NotFound { id: gone }) if gone != id => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn page<T>(
    jobs: &Jobs,
    client: &ClientId,
    Listing { size, after, filter }: &Listing,
    room: usize,
    show: impl Fn(Snapshot) -> Shown<T>,
) -> Result<ShownPage<T>, JobsError> {
    let (mut items, mut bytes, mut after): (Vec<T>, usize, _) = (Vec::new(), 0, *after);
    loop {
        let page = jobs.list(client, filter, READ_AT_ONCE.min(size - items.len()), after)?;
        for record in page.records {
            let behind = record.page_token(filter);
            let shown = show(Snapshot::of(jobs, record));
            if !items.is_empty() && bytes + shown.bytes > room {
                return Ok(ShownPage { items, next: after });
            }
            bytes += shown.bytes;
            items.push(shown.item);
            after = Some(behind);
        }
        if page.next.is_none() || items.len() >= *size {
            return Ok(ShownPage { items, next: page.next });
        }
    }
}
