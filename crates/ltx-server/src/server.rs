//! The server: made of a configuration and the jobs, it serves faces until it is told to stop.
//!
//! Must not know what a face answers.

use crate::{
    Catalog, Face, ServerConfig, ServerError,
    app::{Node, Phase},
    face::{FaceContext, Task},
};
use ltx_jobs::Jobs;
use ltx_policy::{PolicyConfig, WeightFingerprint};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::{JoinError, JoinSet},
    time::timeout,
};

/// Of the time to end, what is left for connections to close.
const CLOSING: u32 = 4;

/// A node's server.
pub struct Server {
    node: Arc<Node>,
}

/// Tells a server what changed while it runs.
#[derive(Clone)]
pub struct Control {
    node: Arc<Node>,
}

impl Server {
    /// Puts a server together. The jobs' policy says which models are loaded: none at all is a node that is still loading,
    /// until [`Control::set_policy`] says otherwise.
    pub fn new(config: ServerConfig, jobs: Jobs, catalog: Catalog) -> Self {
        Self { node: Arc::new(Node::new(config, jobs, catalog)) }
    }

    /// The way to tell it what changed; to be taken before it serves.
    pub fn control(&self) -> Control {
        Control { node: Arc::clone(&self.node) }
    }

    /// Serves every face until `shutdown`. Then nothing more is admitted, what runs is saved, watchers are told, and it returns
    /// within the configured time. The jobs are shut down with it.
    ///
    /// # Errors
    /// `Unprotected`, `Pem`, `Tls`, `Listener`, `Reflection`; `Transport`, `Http`.
    pub async fn serve(self, faces: Vec<Face>, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServerError> {
        let node = self.node;
        let context = FaceContext::new(Arc::clone(&node));
        let tasks = faces.into_iter().map(|face| face.build(context.clone())).collect::<Result<Vec<_>, _>>()?;
        let mut serving = JoinSet::new();
        for Task { name, address, serve } in tasks {
            tracing::debug!(name, %address, "a face is served");
            serving.spawn(serve);
        }
        let mut background = JoinSet::new();
        background.spawn(sweep(Arc::clone(&node)));
        tokio::select! {
            Some(ended) = serving.join_next() => return how(ended),
            () = shutdown => {}
        }

        tracing::info!("stopping");
        node.life.enter(Phase::Stopping);
        drop(background);
        let closing = node.config.shutdown_time / CLOSING;
        let saving = save(&node, node.config.shutdown_time - closing);
        tokio::pin!(saving);
        // Calls are answered while the jobs are saved: those that admit nothing, as ever.
        let ended = tokio::select! {
            Some(ended) = serving.join_next() => Some(ended),
            () = &mut saving => None,
        };
        if let Some(ended) = ended {
            saving.await;
            return how(ended);
        }
        node.life.enter(Phase::Closing);
        let all = async {
            while let Some(ended) = serving.join_next().await {
                how(ended)?;
            }
            Ok(())
        };
        timeout(closing, all).await.unwrap_or_else(|_| {
            tracing::warn!("connections that did not close are dropped");
            Ok(())
        })
    }
}

/// How a face ended. Its panic goes on here.
fn how(ended: Result<Result<(), ServerError>, JoinError>) -> Result<(), ServerError> {
    ended.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        // Nobody aborts a face.
        Err(_) => Ok(()),
    })
}

async fn save(node: &Node, within: Duration) {
    let jobs = node.jobs().clone();
    let saved = tokio::task::spawn_blocking(move || jobs.shutdown(within)).await;
    match saved {
        Ok(true) => tracing::info!("the jobs are saved"),
        Ok(false) => tracing::warn!("the step on the device did not end in time; it will be repeated"),
        Err(error) => tracing::error!(%error, "the jobs were not saved"),
    }
}

async fn sweep(node: Arc<Node>) {
    loop {
        tokio::time::sleep(node.config.sweep_every).await;
        match node.write(|jobs| Ok(jobs.sweep()?)).await {
            Ok(swept) if swept == ltx_jobs::Swept::default() => {}
            Ok(swept) => tracing::info!(?swept, "old work removed"),
            Err(error) => tracing::error!(%error, "old work cannot be removed"),
        }
    }
}

impl Control {
    /// From now on requests are judged by this policy, stored ones included; it also says which models are loaded.
    pub fn set_policy(&self, policy: PolicyConfig) {
        self.node.policy().set(policy);
    }

    /// What tells a model's weights from others, once that became known.
    pub fn set_weights(&self, name: &str, weights: WeightFingerprint) {
        self.node.change_catalog(|catalog| {
            if let Some(card) = catalog.card_mut(name) {
                card.weights = Some(weights);
            }
        });
    }
}
