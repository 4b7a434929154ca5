//! The file by which a node tells whoever started it that it serves, and where.
//!
//! Must not know how the node came to serve. The file is there whole or not at all.

use crate::exit::BadInput;
use anyhow::{Context, Result};
use ltx_files::{Durable, PartialFile};
use serde_json::json;
use std::{
    fs,
    io::{ErrorKind, Write},
    net::SocketAddr,
    path::Path,
};

/// What is told of a node that serves.
pub(crate) struct Started {
    /// Where clients reach it, if they do: a worker of a cluster answers none.
    pub(crate) listen: Option<SocketAddr>,
    /// Where Prometheus reaches it, if it does.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// The id in its marks.
    pub(crate) node_id: String,
    /// Whether clients must speak TLS.
    pub(crate) tls: bool,
    /// Whether it makes faults on purpose.
    pub(crate) testing: bool,
}

/// Looks whether it can be written, before a node begins to work. What is there of that name stays.
///
/// # Errors
/// There is no such folder, nothing can be written in it, or the name is that of a folder.
pub(crate) fn check(file: &Path) -> Result<()> {
    let cannot = |why: String| BadInput(format!("{}: {why}", cannot(file, "written")));
    if file.is_dir() {
        return Err(cannot("it is a folder".to_owned()).into());
    }
    PartialFile::beside(file).map(drop).map_err(|error| cannot(error.to_string()).into())
}

/// Removes what an earlier start left. To be called by the one node that has the data folder.
///
/// # Errors
/// It is there and cannot be removed.
pub(crate) fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).with_context(|| cannot(file, "removed")),
        _ => Ok(()),
    }
}

/// Tells it, under a name of its own first: whoever waits for the file finds all of it.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(file: &Path, started: &Started) -> Result<()> {
    let Started { listen, metrics_listen, node_id, tls, testing } = started;
    let pid = std::process::id();
    let version = env!("CARGO_PKG_VERSION");
    let told = json!({
        "listen": listen, "metrics_listen": metrics_listen, "pid": pid, "node_id": node_id, "version": version,
        "tls": tls, "testing": testing,
    });
    let written = PartialFile::beside(file).and_then(|partial| {
        partial.file().write_all(format!("{told}\n").as_bytes())?;
        partial.publish(Durable::Nothing)
    });
    written.with_context(|| cannot(file, "written"))
}

fn cannot(file: &Path, what: &str) -> String {
    format!("--ready-file {}: cannot be {what}", file.display())
}
