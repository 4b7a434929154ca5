//! Who calls: the bearer token of a call, the client it belongs to, and whether that client calls too often.
//!
//! Must not know what is called. It looks before a byte of the request's body is read.

use crate::{
    app::{node::Node, problem::Problem},
    transport::{presence::Presence, token},
};
use ltx_jobs::ClientId;
use std::sync::Arc;
use tonic::{Request, Status, service::Interceptor};

/// The one client of a node without tokens.
const LOCAL: &str = "local";

/// Puts the caller's [`ClientId`] into the request's extensions.
#[derive(Clone)]
pub(crate) struct Authenticate(pub(crate) Arc<Node>);

impl Interceptor for Authenticate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = request.metadata().get("authorization").map(|value| value.as_bytes());
        let client = identify(&self.0, header)?;
        tracing::Span::current().record("client", client.as_str());
        if let Some(presence) = request.extensions().get::<Presence>() {
            presence.is_known();
        }
        self.0.count_call(&client)?;
        request.extensions_mut().insert(client);
        Ok(request)
    }
}

fn identify(node: &Node, header: Option<&[u8]>) -> Result<ClientId, Problem> {
    let tokens = &node.config.listen.tokens;
    if tokens.is_empty() {
        return Ok(ClientId::new(LOCAL)?);
    }
    let text = header.and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(Problem::NoToken)?;
    let (scheme, given) = text.split_once(' ').ok_or(Problem::NoToken)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::NoToken);
    }
    token::client_of(tokens, given.trim()).cloned().ok_or(Problem::UnknownToken)
}

/// Every client a node may have.
pub(crate) fn clients(node: &Node) -> Vec<ClientId> {
    let mut clients: Vec<_> = node.config.listen.tokens.iter().map(|token| token.client.clone()).collect();
    clients.extend(ClientId::new(LOCAL).ok().filter(|_| clients.is_empty()));
    clients.sort();
    clients.dedup();
    clients
}

/// The caller of an authenticated request.
pub(crate) fn caller<T>(request: &Request<T>) -> Result<ClientId, Problem> {
    request.extensions().get().cloned().ok_or_else(|| Problem::fault("a call without a client"))
}
