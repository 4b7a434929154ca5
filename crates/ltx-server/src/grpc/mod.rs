//! The gRPC face: the contract's services as gRPC over HTTP/2 and as gRPC-Web, messages into the domain and back, statuses;
//! and, on the same port, the page that calls them.
//!
//! Must not know how connections are accepted, nor another face. The wire's shapes are known to `from_proto` and `to_proto`,
//! what an error looks like there to `status`; the services between them only map.

mod caller;
mod calls;
mod from_proto;
mod front;
#[cfg(test)]
mod fuzz_tests;
mod health;
pub(crate) mod on_purpose;
mod routes;
mod services;
mod sharing;
pub(crate) mod status;
mod to_proto;
mod trace_context;
mod transport_errors;

use crate::{
    ServerConfig, ServerError,
    app::Phase,
    config::{CALLS_PER_CONNECTION, KEEPALIVE, STREAMS_PER_CONNECTION},
    face::{FaceContext, Serving},
    transport::{browsers::Browsers, listen, tls},
};
use calls::Calls;
use front::Front;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tonic::transport::Server as Transport;
use tonic_web::GrpcWebLayer;

/// The most bytes of an answer: what clients of gRPC take unless they are told otherwise, whatever `limits.message_bytes` says.
pub(crate) const ANSWER_BYTES: usize = 4 << 20;
/// The most bytes of a page's items; the rest of an answer is for what is around them.
pub(crate) const PAGE_BYTES: usize = ANSWER_BYTES - (64 << 10);

/// The most bytes of a request's headers.
const HEADERS: u32 = 16 << 10;
/// How much later than `Calls` the transport ends a call.
const BEHIND: Duration = Duration::from_secs(5);
/// Bytes that a client may send ahead on a stream.
const STREAM_WINDOW: u32 = 1 << 20;
/// Bytes that a client may send ahead on a connection.
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Serves the contract, health and reflection until the node closes and its last connection has ended.
///
/// # Errors
/// `Unprotected`, `Pem`, `Tls`, `Listener`, `Reflection`.
pub(crate) fn serve(listener: TcpListener, context: FaceContext) -> Result<Serving, ServerError> {
    let config = &context.node.config;
    let address = listener.local_addr().map_err(ServerError::Listener)?;
    config.listen.check(address)?;
    let (health, health_service) = tonic_health::server::health_reporter();
    let routes = routes::services(&context)?.add_service(health_service);
    let acceptor = config.listen.tls.as_ref().map(tls::acceptor).transpose()?;
    let tls = acceptor.is_some();
    let (shown, page) = (config.page.is_shown_at(address.ip()), &config.page);
    let browsers = Browsers { bound: address.ip(), tls, hosts: page.hosts.clone(), origins: page.origins.clone() };
    // From the outermost on: what turns away, what lets listed pages read, what turns gRPC-Web into gRPC, what counts.
    let mut transport = transport(config)
        .layer(Front::new(Arc::clone(&context.node), browsers, shown))
        .layer(sharing::with(&page.origins))
        .layer(GrpcWebLayer::new())
        .layer(Calls::new(context.clone()));
    let connections = listen::connections(listener, &config.limits);
    let connections = match acceptor {
        None => tls::plain(connections),
        Some(acceptor) => tls::greeted(connections, acceptor, config.limits.handshake_time),
    };
    tracing::info!(%address, tls, clients = config.listen.tokens.len(), "serving");
    if shown {
        tracing::info!(page = page_url(address, tls), "there is a page for browsers");
    }
    let node = context.node;
    Ok(Box::pin(async move {
        let closing = node.life.reaches(Phase::Closing);
        let serving = transport.add_routes(routes).serve_with_incoming_shutdown(connections, closing);
        tokio::select! {
            ended = serving => ended.map_err(ServerError::Transport),
            never = health::tell(&node, &health) => match never {},
        }
    }))
}

fn transport(config: &ServerConfig) -> Transport {
    let limits = &config.limits;
    Transport::builder()
        // Browsers speak it wherever there is no TLS, proxies behind theirs; `Front` sees to what comes over it.
        .accept_http1(true)
        .concurrency_limit_per_connection(CALLS_PER_CONNECTION)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        // `Calls` tells a call that it is out of time, with details; this is behind it.
        .timeout(limits.call_time.max(limits.upload_time + limits.idle_time) + BEHIND)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .http2_max_header_list_size(HEADERS)
}

/// Where a browser on this machine finds the page.
fn page_url(address: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    match address.ip().is_unspecified() {
        true => format!("{scheme}://localhost:{}/", address.port()),
        false => format!("{scheme}://{address}/"),
    }
}
