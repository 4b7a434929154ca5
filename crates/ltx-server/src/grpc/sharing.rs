//! What pages of listed origins may read of an answer (CORS). Nobody else's: nothing is listed unless the operator does.
//!
//! Must not know who may call; that is looked at before.

use super::trace_context;
use crate::{testing, transport::origin::Origin};
use std::time::Duration;
use tonic::codegen::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowPrivateNetwork, CorsLayer};

/// What calls of gRPC-Web are sent with.
const SENT: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
    HeaderName::from_static(testing::HEADER),
    HeaderName::from_static(trace_context::HEADERS[0]),
    HeaderName::from_static(trace_context::HEADERS[1]),
];
/// What their answers say in headers.
const READ: [HeaderName; 3] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];
/// How long a browser need not ask again.
const KEPT: Duration = Duration::from_secs(600);

/// Lets pages of these origins call, and read what is answered. No cookies are looked at, so none are sent.
pub(super) fn with(origins: &[Origin]) -> CorsLayer {
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(&origin.to_string()).ok());
    CorsLayer::new()
        .allow_origin(origins.collect::<Vec<_>>())
        .allow_methods([Method::POST])
        .allow_headers(SENT)
        .expose_headers(READ)
        .max_age(KEPT)
        .allow_private_network(AllowPrivateNetwork::yes())
}
