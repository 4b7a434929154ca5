//! Who belongs to the service: each node leaves a card every few seconds.
//!
//! Must not know generations. Who is silent is judged by the time since its last card came here, never by a clock on it.

use crate::{Cluster, Roles, keys};
use ltx_jobs::{JobsError, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::Weak,
    time::{Duration, Instant},
};

/// How often a card is left.
const EVERY: Duration = Duration::from_secs(5);

/// After so long without a card a node is taken for gone.
const GONE: Duration = Duration::from_secs(20);

/// After so long without a new one a card is removed.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

/// What a node says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Card {
    node: String,
    face: bool,
    worker: bool,
    program: String,
}

/// A card that has come.
struct Heard {
    card: Card,
    revision: u64,
    since: Instant,
}

/// The nodes that have been heard of.
pub(crate) struct Nodes {
    own: Roles,
    key: String,
    heard: Mutex<HashMap<String, Heard>>,
}

impl Nodes {
    pub(crate) fn new(node: &str, own: Roles) -> Self {
        Self { own, key: keys::node(node), heard: Mutex::default() }
    }

    /// A node's card, as it is left.
    pub(crate) fn card(node: &str, Roles { face, worker }: Roles) -> Result<Vec<u8>> {
        let program = env!("CARGO_PKG_VERSION").to_owned();
        let card = Card { node: node.to_owned(), face, worker, program };
        serde_json::to_vec(&card).map_err(|_| JobsError::Corrupt { what: "node's card" })
    }

    pub(crate) fn own(&self) -> Roles {
        self.own
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn heard(&self, id: &str, revision: u64, value: Option<&[u8]>) {
        let card = value.and_then(|value| serde_json::from_slice(value).ok());
        let mut heard = self.heard.lock();
        match card {
            Some(card) => heard.insert(id.to_owned(), Heard { card, revision, since: Instant::now() }),
            None => heard.remove(id),
        };
    }

    /// The keys of cards that nobody has renewed for a long time, and their revisions.
    pub(crate) fn forgotten(&self) -> Vec<(String, u64)> {
        let heard = self.heard.lock();
        let old = heard.iter().filter(|(_, heard)| heard.since.elapsed() > FORGOTTEN);
        old.map(|(id, heard)| (keys::card(id), heard.revision)).collect()
    }

    /// Nodes that live, and those of them that compute. This one does, whether its card has come back or not.
    pub(crate) fn alive(&self) -> (usize, usize) {
        let heard = self.heard.lock();
        let own = self.key.strip_prefix("n.");
        let others = heard.iter().filter(|(id, heard)| Some(id.as_str()) != own && heard.since.elapsed() < GONE);
        let others: Vec<_> = others.map(|(_, heard)| heard.card.worker).collect();
        let workers = others.iter().filter(|works| **works).count() + usize::from(self.own.worker);
        (others.len() + 1, workers)
    }
}

/// Leaves cards for as long as the node belongs to its service.
pub(crate) async fn leave_cards(cluster: Weak<Cluster>) {
    while let Some(joined) = cluster.upgrade() {
        let card = Nodes::card(&joined.node, joined.nodes.own);
        let subject = joined.connection.names.record(&joined.nodes.key);
        if let (Ok(card), true) = (card, joined.connection.is_connected()) {
            // The next one follows soon.
            if let Ok(kept) = joined.connection.jetstream.publish(subject, card.into()).await {
                let _ = kept.await;
            }
        }
        drop(joined);
        tokio::time::sleep(EVERY).await;
    }
}
