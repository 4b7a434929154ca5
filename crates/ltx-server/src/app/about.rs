//! What a client may know of the node.
//!
//! Must not tell of other clients' generations.

use super::{ModelCard, Node, Phase, Problem};
use ltx_jobs::{ClientId, Status, memory};
use ltx_policy::ModelNames;
use ltx_types::ModelRules;
use std::time::SystemTime;

/// Whether a node takes generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeState {
    /// No model is loaded yet.
    Loading,
    /// It takes generations.
    Ready,
    /// It ends.
    Stopping,
}

/// A model, and how it is served.
#[derive(Debug)]
pub(crate) struct ServedModel {
    /// What is known of it.
    pub(crate) card: ModelCard,
    /// What requests for it are held against; `None` where it is not served.
    pub(crate) rules: Option<ModelRules>,
    /// Whether generations on it are taken.
    pub(crate) loaded: bool,
    /// Whether a request that names no model runs on it.
    pub(crate) default: bool,
}

/// How a node stands, for one client. What was configured is in the node's configuration.
#[derive(Debug)]
pub(crate) struct About {
    /// When it was started.
    pub(crate) started: SystemTime,
    /// Whether it takes generations.
    pub(crate) state: NodeState,
    /// Bytes of the device's memory; 0 where nobody knows.
    pub(crate) memory_bytes: u64,
    /// Bytes a generation may take; 0 where nobody knows.
    pub(crate) available_bytes: u64,
    /// Resident bytes of the process; 0 where nobody knows.
    pub(crate) resident_bytes: u64,
    /// How the jobs stand.
    pub(crate) jobs: Status,
    /// Generations of this client that wait.
    pub(crate) own_queued: usize,
    /// Seconds that a new generation of this client would wait, where that can be estimated.
    pub(crate) wait_seconds: Option<f64>,
    /// Every known model, the default first.
    pub(crate) models: Vec<ServedModel>,
    /// Plans that carry the benefit.
    pub(crate) plans: Vec<String>,
    /// Names of external models, which policy does not cover.
    pub(crate) external_models: Vec<String>,
}

impl Node {
    /// How the node stands, for one client.
    ///
    /// # Errors
    /// `Database`, `File`.
    pub(crate) async fn about(&self, client: ClientId) -> Result<About, Problem> {
        let (jobs, (own_queued, wait_seconds)) =
            self.read(move |jobs| Ok((jobs.status()?, jobs.standing(&client)))).await?;
        let policy = self.policy().for_new();
        let loaded = policy.loaded();
        let state = match (self.life.is_in(Phase::Stopping), loaded.is_empty()) {
            (true, _) => NodeState::Stopping,
            (false, true) => NodeState::Loading,
            (false, false) => NodeState::Ready,
        };
        let available = self.config.jobs.limits.memory_bytes.or_else(memory::available_bytes);
        let own = ModelNames::EXTERNAL.into_iter().map(str::to_owned);
        Ok(About {
            started: self.started,
            state,
            memory_bytes: self.config.device.memory_bytes.or_else(memory::total_bytes).unwrap_or(0),
            available_bytes: available.unwrap_or(0),
            resident_bytes: memory::resident_bytes().unwrap_or(0),
            jobs,
            own_queued,
            wait_seconds,
            models: self.served(&loaded),
            plans: policy.plans().to_vec(),
            external_models: own.chain(self.config.external_models.iter().cloned()).collect(),
        })
    }

    fn served(&self, loaded: &[&str]) -> Vec<ServedModel> {
        let catalog = self.catalog();
        let default = loaded.first().copied();
        let mut cards: Vec<_> = catalog.cards().iter().collect();
        cards.sort_by_key(|card| Some(card.manifest.name.as_str()) != default);
        let first = cards.first().map(|card| card.manifest.name.as_str());
        let served = cards.iter().map(|&card| {
            let name = card.manifest.name.as_str();
            let default = Some(name) == default.or(first);
            ServedModel { card: card.clone(), rules: self.rules_of(card), loaded: loaded.contains(&name), default }
        });
        served.collect()
    }
}
