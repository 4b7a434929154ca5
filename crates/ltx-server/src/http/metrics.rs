//! `/metrics`, for Prometheus.
//!
//! Must not know gRPC, nor what is counted.

use crate::{
    ServerError,
    app::{Gauges, Phase},
    face::{FaceContext, Serving},
    transport::{
        browsers::{Browsers, Wanted},
        door::Door,
        short_lived::ShortLived,
    },
};
use axum::{
    Router,
    extract::{Request, State},
    http::{
        Method, StatusCode,
        header::{CONNECTION, CONTENT_TYPE},
    },
    response::IntoResponse,
    routing::any,
};
use std::{future::IntoFuture, sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// Scrapes at once.
const CONNECTIONS: usize = 8;
/// The longest a scrape may take.
const LONGEST: Duration = Duration::from_secs(10);
/// What Prometheus calls this text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Answers scrapes until the node closes.
///
/// # Errors
/// `Listener`; what goes wrong with a connection is its own affair.
pub(crate) fn serve(listener: TcpListener, context: FaceContext) -> Result<Serving, ServerError> {
    let node = Arc::clone(&context.node);
    let bound = listener.local_addr().map_err(ServerError::Listener)?.ip();
    let hosts = node.config.page.hosts.clone();
    let browsers = Browsers { bound, tls: false, hosts, origins: Vec::new() };
    let door = ShortLived::new(Door::new("metrics", listener, CONNECTIONS), LONGEST);
    let serving = axum::serve(door, router(Scraped { context, browsers: Arc::new(browsers) })).into_future();
    Ok(Box::pin(async move {
        tokio::select! {
            ended = serving => ended.map_err(ServerError::Http),
            () = node.life.reaches(Phase::Closing) => Ok(()),
        }
    }))
}

/// What is scraped, and by whom.
#[derive(Clone)]
struct Scraped {
    context: FaceContext,
    browsers: Arc<Browsers>,
}

fn router(scraped: Scraped) -> Router {
    Router::new().route("/metrics", any(scrape)).fallback(elsewhere).with_state(scraped)
}

async fn scrape(State(Scraped { context, browsers }): State<Scraped>, request: Request) -> impl IntoResponse {
    // On loopback the only way in from elsewhere is a browser. Beyond it everybody may read, under any name.
    if browsers.bound.to_canonical().is_loopback()
        && let Err(problem) = browsers.admit(&request, Wanted::Page)
    {
        return answer(StatusCode::FORBIDDEN, format!("{problem}\n"));
    }
    let method = request.method();
    if method != Method::GET {
        return answer(StatusCode::METHOD_NOT_ALLOWED, "GET it\n".to_owned());
    }
    match tokio::task::spawn_blocking(move || text(&context)).await {
        Ok(Ok(text)) => answer(StatusCode::OK, text),
        _ => answer(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n".to_owned()),
    }
}

async fn elsewhere() -> impl IntoResponse {
    answer(StatusCode::NOT_FOUND, "there is /metrics\n".to_owned())
}

/// The metrics as they are now. Asks the jobs how they stand.
fn text(FaceContext { node, entrance }: &FaceContext) -> Result<String, std::fmt::Error> {
    let jobs = node.jobs().status().inspect_err(|error| tracing::error!(%error, "the jobs do not say how they stand"));
    let cache = node.jobs().cache_status();
    let traces = node.jobs().tracer().map(|tracer| tracer.counts());
    node.metrics.text(&Gauges { jobs: jobs.ok(), cache, open_streams: entrance.open_streams(), traces })
}

/// A connection answers one question.
fn answer(status: StatusCode, body: String) -> impl IntoResponse {
    let content_type = if status == StatusCode::OK { OPEN_METRICS } else { PLAIN };
    (status, [(CONTENT_TYPE, content_type), (CONNECTION, "close")], body)
}
