//! Joining a service: the connection, what all nodes must agree on, the copy, and what runs beside the jobs.
//!
//! Must not know models or clients.

use crate::{
    Cluster, ClusterConfig, ClusterError,
    claims::Claims,
    config::FilesAt,
    connection::{Connection, Kept, START},
    error::NotWritten,
    events::Bookmarks,
    files::{Files, JetStream, Place, S3},
    follow::{Position, follow},
    intents::OpenIntents,
    keys,
    line::Waits,
    nodes::{Nodes, leave_cards},
    retention::{Turns, age_at},
    store::Bounds,
    work::ClusterLine,
};
use async_nats::jetstream::message::PublishMessage;
use ltx_jobs::{
    DataFolder, JobsConfig, JobsError, News, moved_to,
    ports::{Backing, Hub, Listeners, Mirror},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64},
    },
    time::{Duration, Instant},
};

/// How long a copy may take to be whole at the start.
const WHOLE: Duration = Duration::from_secs(300);

/// Who joins.
pub struct Joining<'a> {
    /// The node's id, which no other node of the service has.
    pub node: &'a str,
    /// Its data folder, which it holds.
    pub folder: DataFolder,
    /// Its jobs' settings.
    pub jobs: &'a JobsConfig,
    /// The models that it serves, by their manifests' names.
    pub models: Vec<String>,
}

/// What all nodes of a service must agree on, because the servers fix it when a queue is made.
#[derive(Debug, Serialize, Deserialize)]
struct Agreed {
    silent_seconds: u64,
    /// Where files lie, if that is not JetStream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<Place>,
}

/// Joins a service. What comes back is to be given to the jobs; the other half tells how the node's part in the service stands.
///
/// # Errors
/// As [`ClusterError`] has them.
pub fn join(config: &ClusterConfig, joining: Joining<'_>) -> Result<(Backing, Arc<Cluster>), ClusterError> {
    let Joining { node, folder, jobs, models } = joining;
    let alone = jobs.data.join("jobs.sqlite");
    if alone.exists() && moved_to(&jobs.data)?.as_ref() != Some(&config.service) {
        return Err(ClusterError::OfANodeAlone { file: alone });
    }
    let connection = Connection::open(config, node)?;
    let files = files(&connection, config, node)?;
    let (hub, listeners) = (Arc::new(Hub::default()), Arc::new(Listeners::default()));
    let watchers = Arc::clone(&hub);
    // Whoever listens hears of what this node writes; whoever watches, of everything.
    let listener = move |news: &News<'_>| watchers.publish(news.generation, &news.event);
    let mirror = Mirror::open(&copy_of(&connection, &jobs.data)?, Box::new(listener))?;
    let spool = jobs.data.join("spool");
    fs::create_dir_all(&spool).map_err(|why| file("data_dir", &spool, &why))?;
    let limits = &jobs.limits;
    let bounds = Bounds {
        queued: limits.queued.get(),
        queued_per_client: limits.queued_per_client.get(),
        requests_per_second: limits.requests_per_second.get(),
        request_burst: limits.request_burst.get(),
        fruitless_crashes: limits.fruitless_crashes.get(),
    };
    // The servers' clock tells what has passed since the service's time was told: this node's may be wrong.
    let key = keys::node(node);
    leave_first_card(&connection, &key, Nodes::card(node, config.roles)?)?;
    let at_ms = connection.get(&key)?.map_or(0, |card| card.at_ms);
    let clock = (age_at(connection.get(keys::CLOCK)?, at_ms), Instant::now());
    let cluster = Arc::new(Cluster {
        connection,
        config: config.clone(),
        node: node.to_owned(),
        models,
        bounds,
        mirror,
        hub,
        listeners,
        claims: Claims::default(),
        waits: Waits::default(),
        nodes: Nodes::new(node, config.roles),
        intents: OpenIntents::default(),
        turns: Turns::default(),
        unread: Mutex::default(),
        position: Position::default(),
        reload: AtomicI64::new(0),
        intake: Mutex::new(()),
        logged: Mutex::new(HashMap::new()),
        bookmarks: Bookmarks::default(),
        files,
        folder,
        spool,
        clock,
        closed: AtomicBool::new(false),
        gave_up: AtomicBool::new(false),
    });
    cluster.connection.spawn(follow(Arc::downgrade(&cluster)));
    cluster.connection.spawn(leave_cards(Arc::downgrade(&cluster)));
    if !cluster.position.reaches(0, Instant::now() + WHOLE) {
        return Err(ClusterError::Jobs(crate::error::unavailable("this node's copy is not whole")));
    }
    let backing = Backing {
        store: Arc::clone(&cluster) as _,
        events: Arc::clone(&cluster) as _,
        blobs: Arc::clone(&cluster) as _,
        line: Box::new(ClusterLine::of(&cluster)),
        shares: Arc::clone(&cluster) as _,
        previews: Arc::clone(&cluster) as _,
    };
    Ok((backing, cluster))
}

/// Leaves the first card of this node. While the servers choose a leader, or add copies, they take nothing for a while.
fn leave_first_card(connection: &Connection, key: &str, card: Vec<u8>) -> Result<(), JobsError> {
    let (until, card) = (Instant::now() + START, PublishMessage::build().payload(card.into()));
    while let Err(failed) = connection.publish(connection.names.record(key), card.clone()) {
        connection.again_after(failed, until)?;
    }
    Ok(())
}

/// Where files lie, once that is agreed on: nothing is made where another node has them elsewhere.
fn files(connection: &Connection, config: &ClusterConfig, node: &str) -> Result<Files, ClusterError> {
    let (service, node) = (config.service.clone(), node.to_owned());
    let s3 = match config.files.clone() {
        FilesAt::JetStream => None,
        FilesAt::S3(s3) => Some(connection.run(async move { S3::open(&s3, &service, &node).await })??),
        FilesAt::Given(bucket) => Some(S3::new(bucket, service, "a bucket".to_owned())),
    };
    let s3 = s3.map(Arc::new);
    agree(connection, config, s3.as_ref())?;
    match s3 {
        None => JetStream::open(connection, config),
        Some(s3) => Ok(Files::S3(s3)),
    }
}

/// Holds what all nodes must agree on against what the first of them said.
fn agree(connection: &Connection, config: &ClusterConfig, s3: Option<&Arc<S3>>) -> Result<(), ClusterError> {
    let corrupt = |_| ltx_jobs::JobsError::Corrupt { what: "service's settings" };
    loop {
        if let Some(Kept { value: Some(value), .. }) = connection.get(keys::SETTINGS)? {
            let there: Agreed = serde_json::from_slice(&value).map_err(corrupt)?;
            return agrees(connection, config, s3, there);
        }
        let place = s3.cloned().map(|s3| connection.run(async move { s3.marked().await })).transpose()?.transpose()?;
        let here = Agreed { silent_seconds: config.silent.as_secs(), files: place };
        match connection.put(keys::SETTINGS, serde_json::to_vec(&here).map_err(corrupt)?, 0) {
            Ok(_) => return Ok(()),
            Err(NotWritten::Changed) => {
                if let Some((s3, place)) = s3.cloned().zip(here.files) {
                    connection.run(async move { s3.unmarked(&place).await })?;
                }
            }
            // It may have been written, and the mark is needed then.
            Err(why) => return Err(ClusterError::Jobs(why.into())),
        }
    }
}

fn agrees(
    connection: &Connection,
    config: &ClusterConfig,
    s3: Option<&Arc<S3>>,
    there: Agreed,
) -> Result<(), ClusterError> {
    let differs = |key, here: String, there: String, remedy| Err(ClusterError::Differs { key, here, there, remedy });
    if there.silent_seconds != config.silent.as_secs() {
        let (here, there) = (config.silent.as_secs().to_string(), there.silent_seconds.to_string());
        return differs("cluster.silent_seconds", here, there, "give every node that number");
    }
    let key = "cluster.s3_bucket";
    match (s3.cloned(), there.files) {
        (None, None) => Ok(()),
        (None, Some(place)) => {
            differs(key, "\"\"".to_owned(), format!("its files in {}", place.at), "give every node that bucket")
        }
        (Some(s3), None) => {
            let there = "its files in JetStream's object store".to_owned();
            differs(key, s3.called().to_owned(), there, "name no bucket, or another cluster.service")
        }
        (Some(s3), Some(place)) => {
            let (mark, called) = (place.mark.clone(), s3.called().to_owned());
            match connection.run(async move { s3.bears(&mark).await })?? {
                true => Ok(()),
                false => {
                    let there = format!("its files in {}, and this one does not bear its mark", place.at);
                    differs(key, called, there, "give every node that bucket, prefix and endpoint")
                }
            }
        }
    }
}

/// Where the copy lies: a bucket that was made anew has one of its own, and others' are removed.
fn copy_of(connection: &Connection, data: &Path) -> Result<std::path::PathBuf, ClusterError> {
    let made = connection.records.cached_info().created.unix_timestamp_nanos();
    let name = format!("cluster-{made}.sqlite");
    let entries = fs::read_dir(data).map_err(|why| file("data_dir", data, &why))?;
    for entry in entries.flatten() {
        let other = entry.file_name().to_string_lossy().into_owned();
        if other.starts_with("cluster-") && other.contains(".sqlite") && !other.starts_with(&name) {
            fs::remove_file(entry.path()).map_err(|why| file("data_dir", &entry.path(), &why))?;
        }
    }
    Ok(data.join(name))
}

fn file(key: &'static str, file: &Path, why: &std::io::Error) -> ClusterError {
    ClusterError::File { key, file: file.to_owned(), why: why.to_string() }
}
