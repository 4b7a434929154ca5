//! Around every call: its span in the log, its count in the metrics, its deadline, and details for errors that the transport
//! made.
//!
//! Must not know what the calls do.

use super::transport_errors;
use crate::{
    Limits,
    app::{Node, Problem},
    face::FaceContext,
    transport::{
        body_limits::{BodyPlace, watched},
        presence::{Presence, Visit},
    },
};
use ltx_proto::v1::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_types::FileDescriptorSet;
use std::{
    collections::HashSet,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::timeout;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{
        Bytes, Service, StdError,
        http::{HeaderMap, Request, Response},
    },
};
use tower_layer::Layer;
use tracing::{Instrument, Span, field::Empty};

/// What methods outside the contract are counted as, and what goes no further than `Front`.
pub(super) const OTHER: &str = "other";
/// The one call whose request is a stream that may take long.
const UPLOAD: &str = "/ltx.v1.UploadService/UploadImage";
/// How much earlier than the transport a deadline is told, so that it is told with details.
const EARLY: Duration = Duration::from_millis(5);

/// The layer.
#[derive(Clone)]
pub(super) struct Calls {
    face: FaceContext,
    known: Arc<HashSet<String>>,
}

impl Calls {
    /// Around the calls of a face.
    pub(super) fn new(face: FaceContext) -> Self {
        // Read from what reflection serves: there is no second list of methods.
        let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
        let mut known = HashSet::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    known.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
        known.extend(["Check", "Watch"].map(|method| format!("/grpc.health.v1.Health/{method}")));
        known
            .extend(["v1", "v1alpha"].map(|of| format!("/grpc.reflection.{of}.ServerReflection/ServerReflectionInfo")));
        Self { face, known: Arc::new(known) }
    }
}

impl<S> Layer<S> for Calls {
    type Service = Called<S>;
    fn layer(&self, inner: S) -> Called<S> {
        Called { calls: self.clone(), inner }
    }
}

/// A service inside the layer.
#[derive(Clone)]
pub(super) struct Called<S> {
    calls: Calls,
    inner: S,
}

impl<S, B> Service<Request<B>> for Called<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    B: tonic::codegen::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let FaceContext { node, entrance } = self.calls.face.clone();
        let path = request.uri().path().to_owned();
        let method = self.calls.known.get(&path).cloned().unwrap_or_else(|| OTHER.to_owned());
        let span = tracing::info_span!("call", %method, client = Empty, generation = Empty);
        let within = time_for(&node.config.limits, &path, request.headers());
        let place = BodyPlace::default();
        let visit = request.extensions().get().map(Presence::enter);
        let rest = (Arc::clone(&place), visit);
        let end = End { node: Arc::clone(&node), method, span: span.clone(), began: Instant::now(), code: None, rest };
        let places = (path != UPLOAD).then(|| Arc::clone(entrance.large_bodies()));
        let request = request.map(|body| watched(body, node.config.limits.idle_time, places, &place));
        let inner = span.in_scope(|| self.inner.call(request));
        let answered = async move {
            let mut end = end;
            let response = match timeout(within, inner).await {
                Ok(response) => {
                    transport_errors::with_details(&path, response?, node.config.limits.message_bytes.get())
                }
                Err(_) => transport_errors::answer(Problem::OutOfTime { limit: within }, &HeaderMap::new()),
            };
            end.code = code_of(response.headers());
            let (parts, body) = response.into_parts();
            Ok(Response::from_parts(parts, Body::new(Counted { body, end })))
        };
        Box::pin(answered.instrument(span))
    }
}

/// How long a call may take until it answers: what its client allows, or the node, whichever is less.
fn time_for(limits: &Limits, path: &str, headers: &HeaderMap) -> Duration {
    let most = if path == UPLOAD { limits.upload_time + limits.idle_time } else { limits.call_time };
    let asked = headers.get("grpc-timeout").and_then(|value| grpc_timeout(value.to_str().ok()?));
    asked.map_or(most, |asked| asked.saturating_sub(EARLY).min(most))
}

/// Up to eight digits and a unit, as the gRPC protocol has it.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().last().filter(char::is_ascii)?;
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(count * 3600),
        'M' => Duration::from_secs(count * 60),
        'S' => Duration::from_secs(count),
        'm' => Duration::from_millis(count),
        'u' => Duration::from_micros(count),
        'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

/// Counts a call when it ends, however it does.
struct End {
    node: Arc<Node>,
    method: String,
    span: Span,
    began: Instant,
    code: Option<Code>,
    /// What is given back then: a large body's place, and the connection's presence.
    #[allow(dead_code, reason = "held until it is dropped")]
    rest: (BodyPlace, Option<Visit>),
}

impl Drop for End {
    fn drop(&mut self) {
        // Without a code the caller was gone before one was sent.
        let code = self.code.unwrap_or(Code::Cancelled);
        self.node.metrics.called(&self.method, &code);
        let milliseconds = self.began.elapsed().as_millis() as u64;
        self.span.in_scope(|| tracing::debug!(?code, milliseconds, "answered"));
    }
}

/// A response's body that looks at its trailers.
struct Counted {
    body: Body,
    end: End,
}

impl tonic::codegen::Body for Counted {
    type Data = tonic::codegen::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.end.code = code_of(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// The code that headers or trailers say.
pub(super) fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(grpc_timeout("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(grpc_timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        assert_eq!(grpc_timeout("250m"), Some(Duration::from_millis(250)));
        for wrong in ["", "m", "1", "1x", "-1S", "123456789S", "1é", "é", "1 S", "+1S"] {
            assert_eq!(grpc_timeout(wrong), None, "{wrong}");
        }
    }
}
