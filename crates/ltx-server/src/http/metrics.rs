//! `/metrics` over plain HTTP, on a listener of its own.
//!
//! Must not know gRPC.

use crate::app::node::Node;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};

/// Scrapes at once.
const CONNECTIONS: usize = 8;
/// The longest a scrape may take.
const LONGEST: Duration = Duration::from_secs(10);
/// What Prometheus calls this text.
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers scrapes until it is dropped.
pub(crate) async fn serve(listener: TcpListener, node: Arc<Node>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "metrics: no connection could be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let _place = place;
            let answer = service_fn(move |request| answer(Arc::clone(&node), request));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(LONGEST).keep_alive(false).max_buf_size(16 << 10);
            // A scraper that breaks off is its own affair.
            let _ = tokio::time::timeout(LONGEST, http.serve_connection(TokioIo::new(stream), answer)).await;
        });
    }
}

async fn answer(node: Arc<Node>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            let text = tokio::task::spawn_blocking(move || node.metrics.text(&node)).await;
            match text {
                Ok(Ok(text)) => (StatusCode::OK, text),
                _ => (StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n".to_owned()),
            }
        }
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "GET it\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "there is /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let content_type = if status == StatusCode::OK { TEXT } else { "text/plain; charset=utf-8" };
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    Ok(response)
}
