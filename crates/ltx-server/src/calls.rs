//! Around every call: its span in the log, its count in the metrics, and details for errors that the transport made.
//!
//! Must not know what the calls do.

use crate::{node::Node, problem::Problem};
use ltx_proto::v1::FILE_DESCRIPTOR_SET;
use ltx_types::FieldError;
use prost::Message;
use prost_types::FileDescriptorSet;
use std::{
    collections::HashSet,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{
        Service,
        http::{HeaderMap, Request, Response},
    },
};
use tower_layer::Layer;
use tracing::{Instrument, Span, field::Empty};

/// What methods outside the contract are counted as.
const OTHER: &str = "other";

/// The layer.
#[derive(Clone)]
pub(crate) struct Calls {
    node: Arc<Node>,
    known: Arc<HashSet<String>>,
}

impl Calls {
    pub(crate) fn new(node: Arc<Node>) -> Self {
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
        known.insert("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo".to_owned());
        Self { node, known: Arc::new(known) }
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
pub(crate) struct Called<S> {
    calls: Calls,
    inner: S,
}

impl<S, B> Service<Request<B>> for Called<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        let method = self.calls.known.get(path).cloned().unwrap_or_else(|| OTHER.to_owned());
        let span = tracing::info_span!("call", %method, client = Empty, generation = Empty);
        let end =
            End { node: Arc::clone(&self.calls.node), method, span: span.clone(), began: Instant::now(), code: None };
        let inner = span.in_scope(|| self.inner.call(request));
        let answered = async move {
            let mut end = end;
            let response = inner.await.map(with_details)?;
            end.code = code_of(response.headers());
            let (parts, body) = response.into_parts();
            Ok(Response::from_parts(parts, Body::new(Counted { body, end })))
        };
        Box::pin(answered.instrument(span))
    }
}

/// Counts a call when it ends, however it does.
struct End {
    node: Arc<Node>,
    method: String,
    span: Span,
    began: Instant,
    code: Option<Code>,
}

impl Drop for End {
    fn drop(&mut self) {
        // Without a code the caller was gone before one was sent.
        let code = self.code.unwrap_or(Code::Cancelled);
        self.node.metrics.called(&self.method, code);
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

fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

/// An error that the transport made (a message too large, or not of its type) gets the details every error has.
fn with_details(response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    if headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return response;
    }
    let Some(status) = Status::from_header_map(headers) else { return response };
    match decoding(&status) {
        Some(problem) => Status::from(problem).into_http(),
        None => response,
    }
}

/// What a failure to read a message is in the domain's words.
pub(crate) fn decoding(status: &Status) -> Option<Problem> {
    let message = status.message();
    let rule = match status.code() {
        Code::OutOfRange | Code::ResourceExhausted if message.contains("message length too large") => {
            "is larger than Limits.message_bytes"
        }
        Code::Internal if message.contains("decode") => "is not a message of this contract",
        Code::Internal if message.contains("Missing request message") => "is missing",
        Code::Internal | Code::Unknown if message.contains("h2 protocol error") => "broke off",
        _ => return None,
    };
    Some(FieldError::new("message", "the request", rule).into())
}
