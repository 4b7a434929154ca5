//! Who calls, for the services: the client of a call's bearer token, in the request's extensions.
//!
//! Must not know what is called.

use crate::{
    app::Problem,
    testing,
    transport::{entrance::Entrance, presence::Presence},
};
use ltx_jobs::ClientId;
use std::sync::Arc;
use tonic::{Request, Status, service::Interceptor};

/// Lets a call in and puts the caller's [`ClientId`] into the request's extensions.
#[derive(Clone)]
pub(crate) struct Authenticate(pub(crate) Arc<Entrance>);

impl Interceptor for Authenticate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = request.metadata().get("authorization").map(|value| value.as_bytes());
        let client = self.0.identify(header)?;
        tracing::Span::current().record("client", client.as_str());
        if let Some(presence) = request.extensions().get::<Presence>() {
            presence.is_known();
        }
        self.0.count_call(&client)?;
        testing::look(self.0.testing(), &client, &mut request)?;
        request.extensions_mut().insert(client);
        Ok(request)
    }
}

/// The caller of an authenticated request.
pub(crate) fn caller<T>(request: &Request<T>) -> Result<ClientId, Problem> {
    request.extensions().get().cloned().ok_or_else(|| Problem::fault("a call without a client"))
}
