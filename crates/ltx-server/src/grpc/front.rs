//! Before everything else: what is neither a call nor a file of the page is turned away, and so is what a browser may not send.
//! Files of the page are answered here.
//!
//! Must not know which calls there are.

use super::{
    HEADERS,
    calls::{OTHER, code_of},
    transport_errors,
};
use crate::{
    app::{Node, Problem},
    page,
    transport::browsers::{Browsers, Wanted},
};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{
        Service,
        http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header},
    },
};
use tonic_types::StatusExt;
use tower_layer::Layer;

/// The content types of gRPC-Web, which are compared whole: nothing that HTML itself can send begins like them.
const WEB: [&str; 4] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];
/// The content type of gRPC, which may go on with `+proto` or a parameter.
const GRPC: &str = "application/grpc";
/// Of a preflight: the method that the page wants to use.
const ASKED_METHOD: HeaderName = header::ACCESS_CONTROL_REQUEST_METHOD;

/// The layer.
#[derive(Clone)]
pub(super) struct Front(Arc<Rules>);

struct Rules {
    node: Arc<Node>,
    browsers: Browsers,
    /// Whether there is a page.
    page: bool,
}

impl Front {
    /// In front of a node that obeys these browsers.
    pub(super) fn new(node: Arc<Node>, browsers: Browsers, page: bool) -> Self {
        Self(Arc::new(Rules { node, browsers, page }))
    }
}

impl<S> Layer<S> for Front {
    type Service = Faced<S>;
    fn layer(&self, inner: S) -> Faced<S> {
        Faced { front: self.clone(), inner }
    }
}

/// A service inside the layer.
#[derive(Clone)]
pub(super) struct Faced<S> {
    front: Front,
    inner: S,
}

impl<S> Service<Request<Body>> for Faced<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.front.0.answer(&request) {
            None => Box::pin(self.inner.call(request)),
            Some(answer) => Box::pin(async { Ok(answer) }),
        }
    }
}

/// How a request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Grpc,
    Web,
    /// A file.
    File,
    /// Whether a page may call, as its browser asks.
    Preflight,
    /// Any other method than those of files and calls.
    OtherMethod,
    /// A call in no language of the node's.
    OtherContent,
}

impl Kind {
    fn of<B>(request: &Request<B>) -> Self {
        let content = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        match *request.method() {
            Method::GET | Method::HEAD => Self::File,
            Method::OPTIONS if request.headers().contains_key(ASKED_METHOD) => Self::Preflight,
            Method::POST if WEB.contains(&content) => Self::Web,
            Method::POST if request.version() == Version::HTTP_2 && is_grpc(content) => Self::Grpc,
            Method::POST => Self::OtherContent,
            _ => Self::OtherMethod,
        }
    }

    fn wanted(self) -> Wanted {
        match self {
            Self::Grpc => Wanted::Grpc,
            Self::File => Wanted::Page,
            Self::Web | Self::Preflight | Self::OtherMethod | Self::OtherContent => Wanted::Call,
        }
    }
}

fn is_grpc(content: &str) -> bool {
    content.strip_prefix(GRPC).is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

impl Rules {
    /// The answer, where a request goes no further.
    fn answer(&self, request: &Request<Body>) -> Option<Response<Body>> {
        let head = request.method() == Method::HEAD;
        if bytes_of(request.headers()) > HEADERS as usize {
            let text = format!("The headers are longer than {HEADERS} bytes.");
            return Some(page::plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, &text, head));
        }
        let kind = Kind::of(request);
        if let Err(problem) = self.browsers.admit(request, kind.wanted()) {
            return Some(self.refused(kind, request, problem));
        }
        match kind {
            Kind::Grpc | Kind::Web => None,
            // Answered further in, where it is known what a page may send.
            Kind::Preflight if self.browsers.is_listed(request.headers()) => None,
            Kind::File if is_method(request.uri().path()) => Some(page::not_allowed("POST", head)),
            Kind::File => Some(page::answer(request, self.page)),
            Kind::OtherContent => {
                let found = request.headers().get(header::CONTENT_TYPE);
                let found = found.map(|found| String::from_utf8_lossy(found.as_bytes()).chars().take(100).collect());
                let problem = Problem::ContentType { found: found.unwrap_or_default() };
                Some(self.refused(kind, request, problem))
            }
            Kind::Preflight | Kind::OtherMethod => Some(page::not_allowed("GET, HEAD, POST", head)),
        }
    }

    /// A refusal in the language of who asks; it is counted.
    fn refused(&self, kind: Kind, request: &Request<Body>, problem: Problem) -> Response<Body> {
        tracing::debug!(path = request.uri().path(), %problem, "turned away");
        match kind {
            Kind::Grpc | Kind::Web | Kind::OtherContent => {
                let unsupported = matches!(problem, Problem::ContentType { .. });
                let mut answer = transport_errors::answer(problem, &HeaderMap::new());
                self.node.metrics.called(OTHER, &code_of(answer.headers()).unwrap_or(Code::Unknown));
                if let (Kind::Web, Some(content)) = (kind, request.headers().get(header::CONTENT_TYPE)) {
                    answer.headers_mut().insert(header::CONTENT_TYPE, content.clone());
                }
                if unsupported {
                    *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                }
                answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
                answer
            }
            Kind::File | Kind::Preflight | Kind::OtherMethod => {
                let (text, head) = (problem.to_string(), request.method() == Method::HEAD);
                let status = match problem {
                    Problem::HostNotAllowed { .. } => StatusCode::MISDIRECTED_REQUEST,
                    _ => StatusCode::FORBIDDEN,
                };
                let said = Status::from(problem);
                self.node.metrics.called(OTHER, &said.code());
                let remedy = said.get_details_error_info().and_then(|info| {
                    let remedy = format!("remedy.{}", info.reason);
                    info.metadata.get(&remedy).cloned()
                });
                page::plain(status, &format!("{text}. What to do: {}.", remedy.unwrap_or_default()), head)
            }
        }
    }
}

/// Whether a path is that of a method of some contract: `/package.Service/Method`.
fn is_method(path: &str) -> bool {
    path.strip_prefix('/').and_then(|rest| rest.split_once('/')).is_some_and(|(service, _)| service.contains('.'))
}

fn bytes_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(method: Method, version: Version, content: &str) -> Kind {
        let request = Request::builder().method(method).version(version).header(header::CONTENT_TYPE, content);
        Kind::of(&request.body(()).unwrap())
    }

    #[test]
    fn only_grpc_and_grpc_web_are_calls() {
        let post = |version, content| kind(Method::POST, version, content);
        for content in ["application/grpc", "application/grpc+proto", "application/grpc;x=y"] {
            assert_eq!(post(Version::HTTP_2, content), Kind::Grpc, "{content}");
            assert_eq!(post(Version::HTTP_11, content), Kind::OtherContent, "gRPC is not spoken over HTTP/1.1");
        }
        for version in [Version::HTTP_11, Version::HTTP_2] {
            for content in WEB {
                assert_eq!(post(version, content), Kind::Web, "{content}");
            }
            // The first three are what a page can send anywhere without asking.
            for content in [
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=x",
                "",
                "application/json",
                "text/plain; application/grpc-web+proto",
                "application/grpcx",
                "application/grpc-web+json",
                "application/grpc-web+proto; charset=utf-8",
            ] {
                assert_eq!(post(version, content), Kind::OtherContent, "{content}");
            }
        }
        assert_eq!(kind(Method::HEAD, Version::HTTP_11, "application/grpc-web"), Kind::File);
        assert_eq!(kind(Method::PUT, Version::HTTP_2, "application/grpc"), Kind::OtherMethod);
        assert_eq!(kind(Method::OPTIONS, Version::HTTP_11, ""), Kind::OtherMethod, "a preflight says what it asks");
    }

    #[test]
    fn methods_of_contracts_are_no_files() {
        assert!(is_method("/ltx.v1.NodeService/GetNode") && is_method("/grpc.health.v1.Health/Check"));
        assert!(!is_method("/assets/index-12345678.js") && !is_method("/favicon.ico") && !is_method("/"));
    }
}
