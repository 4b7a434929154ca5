//! The log on standard error: text or JSON lines.
//!
//! Must not know what is logged.

use crate::{
    config::{Log, LogFormat},
    exit::BadInput,
};
use anyhow::Result;
use std::io::stderr;
use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, filter::filter_fn, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Checks the level.
pub(crate) fn filter(log: &Log) -> Result<EnvFilter> {
    EnvFilter::try_new(&log.level).map_err(|error| BadInput(format!("log.level = {}: {error}", log.level)).into())
}

/// From now on everything is logged.
pub(crate) fn start(log: &Log) -> Result<()> {
    let prompts = log.prompts;
    // The client of NATS tells of every byte that it sends, prompts and images among them.
    let tells_no_secret = move |event: &Metadata<'_>| {
        prompts || *event.level() <= Level::INFO || !event.target().starts_with("async_nats")
    };
    let registry = tracing_subscriber::registry().with(filter(log)?).with(filter_fn(tells_no_secret));
    // Where nobody reads the log, saying so on standard error would panic: the node goes on.
    let layer = fmt::layer().with_writer(stderr).log_internal_errors(false);
    match log.format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(layer.with_ansi(false)).try_init(),
    }?;
    Ok(())
}
