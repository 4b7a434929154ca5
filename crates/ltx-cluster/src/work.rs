//! How work comes to a worker: a queue for each client and model, of which a message is this worker's until it says that it is done,
//! or falls silent.
//!
//! Must not decide what a generation's state allows: a message only says where to look.

use crate::{
    Cluster,
    claims::{Held, Standing},
    line::Lane,
};
use async_nats::jetstream::{
    AckKind,
    consumer::{AckPolicy, PullConsumer, pull},
    message::{Acker, PublishMessage},
};
use futures_util::StreamExt;
use ltx_jobs::{
    ClientId, GenerationId, JobsError, ServiceStatus, State,
    ports::{Blobs, Claim, Document, Line, Place, Shelf, Waiting, Workload},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// How long a worker waits for news before it looks for what has fallen silent.
const LOOK: Duration = Duration::from_millis(500);

/// What has waited for so long, and of which the queue knows nothing, is brought there again.
const LOST: Duration = Duration::from_secs(5);

/// After so long nothing is known any more of a message that was left to other nodes.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// The line of a service, for one of its nodes.
pub(crate) struct ClusterLine {
    cluster: Arc<Cluster>,
    consumers: Mutex<HashMap<Lane, PullConsumer>>,
    /// Messages, by their places in their stream, that were left to other nodes.
    left: Mutex<HashMap<u64, Left>>,
}

/// A message that was left to other nodes: this one cannot judge it.
struct Left {
    lane: Lane,
    since: Instant,
}

/// A message that has come.
struct Come {
    id: GenerationId,
    work: u64,
    acker: Acker,
}

impl Cluster {
    /// Brings a generation to the workers. Where that fails, whoever finds it waiting does it.
    pub(crate) fn enqueue(&self, document: &Document, again: bool) {
        let name = match again {
            true => format!("{}/{}", document.id, Uuid::now_v7()),
            false => document.id.to_string(),
        };
        let subject = self.connection.names.work_of(&document.model, &document.client);
        let message = PublishMessage::build().payload(document.id.to_string().into()).message_id(name);
        if let Err(why) = self.connection.publish(subject, message) {
            tracing::debug!(id = %document.id, ?why, "the work queue follows");
        }
    }
}

impl ClusterLine {
    pub(crate) fn of(cluster: &Arc<Cluster>) -> Self {
        Self { cluster: Arc::clone(cluster), consumers: Mutex::default(), left: Mutex::default() }
    }

    /// The consumer of a lane, made where it is missing.
    fn consumer(&self, lane: &Lane) -> ltx_jobs::Result<PullConsumer> {
        if let Some(consumer) = self.consumers.lock().get(lane) {
            return Ok(consumer.clone());
        }
        let connection = &self.cluster.connection;
        let name = connection.names.consumer(&lane.1, &lane.0);
        let config = pull::Config {
            durable_name: Some(name),
            filter_subject: connection.names.work_of(&lane.1, &lane.0),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.cluster.config.silent,
            max_ack_pending: 10_000,
            ..pull::Config::default()
        };
        let work = connection.work.clone();
        let made = connection.wait(async move { work.create_consumer(config).await })?;
        let made = made.map_err(crate::error::unavailable)?;
        self.consumers.lock().insert(lane.clone(), made.clone());
        Ok(made)
    }

    /// The next message of a lane, if there is one.
    fn fetch(&self, lane: &Lane) -> ltx_jobs::Result<Option<Come>> {
        let consumer = self.consumer(lane)?;
        let fetch = async move {
            let mut batch = consumer.fetch().max_messages(1).messages().await.map_err(|error| error.to_string())?;
            let next = tokio::time::timeout(Duration::from_secs(4), batch.next()).await;
            let Some(message) = next.map_err(|late| late.to_string())? else { return Ok(None) };
            let message = message.map_err(|error| error.to_string())?;
            let work = message.info().map_err(|error| error.to_string())?.stream_sequence;
            let id = std::str::from_utf8(&message.payload).ok().and_then(|id| id.parse().ok());
            let (_, acker) = message.split();
            match id {
                Some(id) => Ok(Some(Come { id, work, acker })),
                // Nobody can do anything with it.
                None => acker.ack_with(AckKind::Term).await.map(|()| None).map_err(|error| error.to_string()),
            }
        };
        let fetched = self.cluster.connection.wait(fetch)?;
        fetched.map_err(|why: String| {
            // It may be gone.
            self.consumers.lock().remove(lane);
            crate::error::unavailable(why)
        })
    }

    /// Looks at what a message of a lane is about. Takes it where there is something to do.
    fn take(&self, lane: &Lane, Come { id, work, acker }: Come) -> ltx_jobs::Result<Option<Claim>> {
        let cluster = &self.cluster;
        let looked = cluster.document(id).and_then(|(document, _)| match document.state {
            State::Running if document.work == work => {
                tracing::warn!(%id, worker = document.worker, "its worker has been silent; it is taken over");
                cluster.take_over(id, work)
            }
            // This is another's message of it, from before.
            State::Running => Ok(None),
            state => Ok(Some(state)),
        });
        let over = match looked {
            Ok(Some(State::Queued)) => false,
            Ok(Some(_)) => {
                // It ended without a worker to clear up after it.
                let _ = cluster.delete(Shelf::Latents, id.to_string().as_ref());
                true
            }
            Ok(None) | Err(JobsError::NotFound { .. }) => true,
            Err(error) => {
                let answer = match error {
                    // Nobody can do anything with it.
                    JobsError::Corrupt { .. } => AckKind::Term,
                    // A newer version's, or the servers are away: it comes again.
                    _ => {
                        self.left.lock().insert(work, Left { lane: lane.clone(), since: Instant::now() });
                        AckKind::Nak(Some(LOST))
                    }
                };
                let answered = async move { acker.ack_with(answer).await.map_err(|why| why.to_string()) };
                let _ = cluster.connection.wait(answered);
                return Err(error);
            }
        };
        if over {
            let done = async move { acker.double_ack().await.map_err(|why| why.to_string()) };
            let _ = cluster.connection.wait(done);
            return Ok(None);
        }
        let held = Held::new(cluster, id, work, acker);
        let claim = Claim { id, cancel: held.cancel.clone() };
        *cluster.claims.lock() = Some(held);
        Ok(Some(claim))
    }

    /// How many messages of a lane, that were given out, are neither of what runs nor left to other nodes.
    fn under_way(&self, lane: &Lane, given_out: usize) -> usize {
        let mut left = self.left.lock();
        left.retain(|_, left| left.since.elapsed() < FORGOTTEN);
        let left = left.values().filter(|left| left.lane == *lane).count();
        given_out.saturating_sub(self.cluster.waits.running_in(lane) + left)
    }

    /// Brings what waits in a lane that offers nothing to its queue again, if the queue knows nothing of it. Whether it brought
    /// any.
    fn find_lost(&self, lane: &Lane) -> ltx_jobs::Result<bool> {
        let cluster = &self.cluster;
        if cluster.waits.waiting_since(lane, LOST).is_empty() {
            return Ok(false);
        }
        let mut consumer = self.consumer(lane)?;
        let known = async move {
            let info = consumer.info().await.map_err(crate::error::unavailable)?;
            Ok::<_, JobsError>((info.num_pending, info.num_ack_pending))
        };
        let (pending, given_out) = cluster.connection.wait(known)??;
        // What has ended by then is not taken for lost.
        cluster.catch_up()?;
        let lost = cluster.waits.waiting_since(lane, LOST);
        if pending > 0 || lost.is_empty() || self.under_way(lane, given_out) > 0 {
            return Ok(false);
        }
        let mut found = false;
        for id in lost {
            match cluster.document(id) {
                Ok((document, _)) if document.state == State::Queued => {
                    tracing::warn!(%id, "it waited without a message; it has one again");
                    cluster.enqueue(&document, true);
                    found = true;
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%id, %error, "it cannot be judged here"),
            }
            cluster.waits.note_found(id);
        }
        Ok(found)
    }

    /// The next generation of a lane that this node can work on. What it cannot judge keeps it from no other.
    fn next(&self, lane: &Lane) -> ltx_jobs::Result<Option<Claim>> {
        let mut failed = Ok(None);
        loop {
            while let Some(come) = self.fetch(lane)? {
                match self.take(lane, come) {
                    Ok(Some(claim)) => return Ok(Some(claim)),
                    Ok(None) => {}
                    Err(error) => failed = Err(error),
                }
            }
            if !self.find_lost(lane)? {
                return failed;
            }
        }
    }

    /// One look at everything that may have work. A lane that fails keeps it from no other.
    fn look(&self) -> ltx_jobs::Result<Option<Claim>> {
        // A little more than the servers wait, so that they give it out again.
        let silent = self.cluster.config.silent + Duration::from_millis(200);
        let mut failed = Ok(None);
        for lane in self.cluster.waits.lanes(&self.cluster.models, silent) {
            match self.next(&lane) {
                Ok(None) => {}
                Ok(Some(claim)) => return Ok(Some(claim)),
                Err(error) => failed = Err(error),
            }
        }
        failed
    }
}

impl Line for ClusterLine {
    /// What is stored is in the line already.
    fn push(&self, _client: &ClientId, _waiting: Waiting) {}

    fn claim(&self) -> Option<Claim> {
        let cluster = &self.cluster;
        let mut troubled: Option<Instant> = None;
        while !cluster.is_closed() {
            if cluster.works() && cluster.connection.is_connected() {
                match self.look() {
                    Ok(Some(claim)) => return Some(claim),
                    Ok(None) => troubled = None,
                    Err(error) if troubled.is_none_or(|since| since.elapsed() > Duration::from_secs(10)) => {
                        tracing::warn!(%error, "no work can be had");
                        troubled = Some(Instant::now());
                    }
                    Err(_) => {}
                }
            }
            // What a notice does not tell, a look finds.
            cluster.waits.wait(if cluster.waits.len() > 0 { LOOK / 10 } else { LOOK });
        }
        None
    }

    fn extend(&self, id: GenerationId, _seconds_left: Option<f64>) {
        let acker = self.cluster.claims.with(id, |held| (held.standing != Standing::Lost).then(|| held.acker()));
        if let Some(acker) = acker.flatten() {
            // The heart says so as well.
            self.cluster.connection.spawn(async move { acker.ack_with(AckKind::Progress).await.unwrap_or_default() });
        }
    }

    fn ack(&self, id: GenerationId) {
        let Some(held) = self.cluster.claims.take(id) else { return };
        let acker = held.acker();
        let said = match held.standing {
            Standing::Lost => return,
            Standing::Over => {
                // An acknowledgement that comes too late is not an error to the server: its answer is waited for.
                self.cluster.connection.wait(async move { acker.double_ack().await.map_err(|why| why.to_string()) })
            }
            // It has not ended: another worker goes on with it.
            Standing::Taken | Standing::Ours(_) => self
                .cluster
                .connection
                .wait(async move { acker.ack_with(AckKind::Nak(None)).await.map_err(|why| why.to_string()) }),
        };
        if let Ok(Err(why)) = said {
            tracing::debug!(%id, why, "its message comes again");
        }
    }

    fn back(&self, _client: &ClientId, waiting: Waiting) {
        self.ack(waiting.id);
    }

    fn cancel(&self, _client: &ClientId, id: GenerationId) {
        self.cluster.claims.with(id, |held| held.cancel.cancel());
    }

    fn place(&self, client: &ClientId, id: GenerationId) -> Option<Place> {
        self.cluster.waits.place(client, id, self.cluster.nodes.alive().1)
    }

    fn place_of_new(&self, client: &ClientId, with_it: &[Option<f64>]) -> Place {
        self.cluster.waits.place_of_new(client, with_it, self.cluster.nodes.alive().1)
    }

    fn len(&self) -> usize {
        self.cluster.waits.len()
    }

    fn len_of(&self, client: &ClientId) -> usize {
        self.cluster.waits.len_of(client)
    }

    fn claimed(&self) -> Option<GenerationId> {
        self.cluster.claims.lock().as_ref().map(|held| held.id)
    }

    /// What waits has the seconds that the face predicted that took it.
    fn estimate_again(&self, _seconds: &dyn Fn(&Workload) -> Option<f64>) {}

    fn service(&self) -> Option<ServiceStatus> {
        Some(self.cluster.status())
    }

    fn close(&self) {
        self.cluster.closed.store(true, Ordering::Relaxed);
        if let Some(held) = self.cluster.claims.lock().as_ref() {
            held.cancel.cancel();
        }
        self.cluster.waits.wake();
    }

    fn closed_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while !self.cluster.is_closed() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.cluster.waits.wait(left);
        }
        self.cluster.is_closed()
    }
}
