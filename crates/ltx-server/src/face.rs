//! A face of the node: a listener, and what is served there. A node has a list of them.
//!
//! Must not know what a face answers. One more face is one more constructor here and one more listener in the list.

use crate::{ServerError, app::Node, grpc, http, transport::entrance::Entrance};
use std::{io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// What a face is built over: the application, and the entrance that all faces share.
#[derive(Clone)]
pub(crate) struct FaceContext {
    pub(crate) node: Arc<Node>,
    pub(crate) entrance: Arc<Entrance>,
}

impl FaceContext {
    /// A node with an entrance within its limits.
    pub(crate) fn new(node: Arc<Node>) -> Self {
        let entrance = Arc::new(Entrance::new(&node.config, node.policy(), Arc::clone(&node.metrics)));
        Self { node, entrance }
    }

    /// How long outputs are kept, which every record of a generation tells.
    pub(crate) fn outputs_for(&self) -> Duration {
        self.node.config.jobs.retention.outputs_for
    }
}

/// Serves until the node closes, or the face cannot go on.
pub(crate) type Serving = Pin<Box<dyn Future<Output = Result<(), ServerError>> + Send>>;

/// Turns a listener into what serves on it.
type Build = fn(TcpListener, FaceContext) -> Result<Serving, ServerError>;

/// A face that is bound and not served yet.
pub struct Face {
    name: &'static str,
    listener: TcpListener,
    build: Build,
}

/// A face that is ready to be served.
pub(crate) struct Task {
    /// What the face is called in the log.
    pub(crate) name: &'static str,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Serves it.
    pub(crate) serve: Serving,
}

impl Face {
    /// The contract, over gRPC. Beyond loopback it needs tokens and TLS.
    pub fn grpc(listener: TcpListener) -> Self {
        Self { name: "grpc", listener, build: grpc::serve }
    }

    /// Prometheus metrics over plain HTTP, without tokens: keep it where only Prometheus reaches it.
    pub fn metrics(listener: TcpListener) -> Self {
        Self { name: "metrics", listener, build: http::metrics::serve }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Makes it ready to be served.
    ///
    /// # Errors
    /// `Listener`, and what the face's own settings fail with.
    pub(crate) fn build(self, context: FaceContext) -> Result<Task, ServerError> {
        let address = self.address().map_err(ServerError::Listener)?;
        let serve = (self.build)(self.listener, context)?;
        Ok(Task { name: self.name, address, serve })
    }
}
