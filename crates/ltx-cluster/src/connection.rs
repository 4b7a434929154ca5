//! The connection to the NATS servers: its threads, its streams, and how synchronous callers wait for it.
//!
//! Must not know what is kept in the streams.

use crate::{
    ClusterConfig, ClusterError,
    error::{NotWritten, unavailable},
    keys::Names,
};
use async_nats::{
    ConnectOptions, Event,
    connection::State,
    header::HeaderMap,
    jetstream::{
        self, Context,
        message::{PublishMessage, StreamMessage},
        stream::{Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, StorageType, Stream},
    },
};
use ltx_jobs::Result;
use std::{
    future::Future,
    sync::{Arc, mpsc::sync_channel},
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::Notify,
};

/// How long a server may take to answer one question.
pub(crate) const ANSWER: Duration = Duration::from_secs(4);

/// How long a start waits for servers that have no leader yet.
pub(crate) const START: Duration = Duration::from_secs(30);

/// How often a silent connection is looked at. Two that are not answered, and it is made anew.
const PING: Duration = Duration::from_secs(3);

/// How long whoever asks for a client waits in all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// A connection, as long as it is held.
pub(crate) struct Connection {
    _threads: Threads,
    handle: Handle,
    pub(crate) names: Names,
    pub(crate) client: async_nats::Client,
    /// Told when a server is connected again.
    pub(crate) reconnected: Arc<Notify>,
    pub(crate) jetstream: Context,
    pub(crate) records: Stream,
    pub(crate) events: Stream,
    pub(crate) work: Stream,
}

/// What is kept under a key, and since which revision.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) revision: u64,
    /// When it was written, in milliseconds by the servers' clock.
    pub(crate) at_ms: i64,
    /// `None` where it was deleted.
    pub(crate) value: Option<Vec<u8>>,
}

impl Connection {
    /// Connects, and makes the streams that are missing.
    pub(crate) fn open(config: &ClusterConfig, node: &str) -> Result<Self, ClusterError> {
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("cluster").enable_all().build();
        let threads = Threads(Some(runtime.map_err(|error| unreachable(config, error))?));
        let (config, node) = (config.clone(), node.to_owned());
        let handle = threads.handle()?;
        let reconnected = Arc::new(Notify::new());
        let told = Arc::clone(&reconnected);
        let opened = run(&handle, async move { open(&config, &node, told).await });
        let Opened { names, client, jetstream, streams: [records, events, work] } =
            opened.ok_or_else(|| ClusterError::Jobs(unavailable("its threads have ended")))??;
        Ok(Self { _threads: threads, handle, names, client, reconnected, jetstream, records, events, work })
    }

    /// Runs a future that asks the servers nothing on the connection's threads, and waits for it here.
    ///
    /// # Errors
    /// `Unavailable` when its threads have ended.
    pub(crate) fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Result<T> {
        run(&self.handle, future).ok_or_else(|| unavailable("this node has left it"))
    }

    /// Runs a future on the connection's threads and waits for it here. It is a question to the servers: without one it would
    /// wait for its time to run out, and what it publishes would be sent at some later time.
    ///
    /// # Errors
    /// `Unavailable` when no server is connected, or its threads have ended.
    pub(crate) fn wait<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Result<T> {
        if !self.is_connected() {
            return Err(unavailable("no server is connected"));
        }
        self.run(future)
    }

    /// Runs a future on the connection's threads.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> tokio::task::AbortHandle {
        self.handle.spawn(future).abort_handle()
    }

    /// Whether a server is connected, as far as this node knows.
    pub(crate) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// What is under a key now, as the leader of the servers has it; `None` where there never was anything.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) fn get(&self, key: &str) -> Result<Option<Kept>> {
        let message = self.last(&self.records, &self.names.record(key))?;
        Ok(message.map(|message| {
            let deleted = message.headers.get("KV-Operation").is_some();
            let value = (!deleted).then(|| message.payload.to_vec());
            let at_ms = i64::try_from(message.time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
            Kept { revision: message.sequence, at_ms, value }
        }))
    }

    /// The last message of a subject, as the leader of the servers has it; `None` where there is none.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) fn last<T: Clone + Send + Sync + 'static>(
        &self,
        stream: &Stream<T>,
        subject: &str,
    ) -> Result<Option<StreamMessage>> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let (stream, subject) = (stream.clone(), subject.to_owned());
            match self.wait(async move { stream.get_last_raw_message_by_subject(&subject).await })? {
                Ok(message) => return Ok(Some(message)),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok(None),
                Err(error) => self.again_until(patience, error)?,
            }
        }
    }

    /// Writes under a key, if it still has that revision; 0 is none. Returns the new one.
    pub(crate) fn put(&self, key: &str, value: Vec<u8>, revision: u64) -> Result<u64, NotWritten> {
        let message = PublishMessage::build().payload(value.into()).expected_last_subject_sequence(revision);
        self.publish(self.names.record(key), message)
    }

    /// Deletes what is under a key, if it still has that revision. Returns the one of the mark that stays.
    pub(crate) fn delete(&self, key: &str, revision: u64) -> Result<u64, NotWritten> {
        let mut headers = HeaderMap::new();
        headers.insert("KV-Operation", "DEL");
        let message = PublishMessage::build().headers(headers).expected_last_subject_sequence(revision);
        self.publish(self.names.record(key), message)
    }

    /// Publishes a message and waits until it is kept. Returns its place in the stream.
    pub(crate) fn publish(&self, subject: String, message: PublishMessage) -> Result<u64, NotWritten> {
        let jetstream = self.jetstream.clone();
        let published = self.wait(async move { jetstream.send_publish(subject, message).await?.await });
        let published = published.map_err(|error| NotWritten::Unknown(error.to_string()))?;
        Ok(published.map(|kept| kept.sequence)?)
    }

    /// Whether a write that failed is worth another try: somebody else has written meanwhile, or nobody knows whether it was written,
    /// which is waited for.
    ///
    /// # Errors
    /// Why it is not, or no longer.
    pub(crate) fn again_after(&self, failed: NotWritten, patience: Instant) -> Result<()> {
        match failed {
            NotWritten::Changed if Instant::now() < patience => Ok(()),
            NotWritten::Unknown(why) => self.again_until(patience, why),
            failed => Err(failed.into()),
        }
    }

    /// Waits a moment before another try.
    ///
    /// # Errors
    /// `Unavailable` when the time is up, or no server is connected.
    pub(crate) fn again_until(&self, patience: Instant, why: impl std::fmt::Display) -> Result<()> {
        if Instant::now() >= patience || !self.is_connected() {
            return Err(unavailable(why));
        }
        std::thread::sleep(Duration::from_millis(50));
        Ok(())
    }
}

/// The connection's threads. Whoever drops them, perhaps within another runtime, does not wait for what is still under way.
struct Threads(Option<Runtime>);

impl Threads {
    fn handle(&self) -> Result<Handle> {
        self.0.as_ref().map(|runtime| runtime.handle().clone()).ok_or_else(|| unavailable("its threads have ended"))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn run<T: Send + 'static>(handle: &Handle, future: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let (send, answer) = sync_channel(1);
    handle.spawn(async move {
        // Whoever asked may be gone.
        let _ = send.send(future.await);
    });
    answer.recv().ok()
}

struct Opened {
    names: Names,
    client: async_nats::Client,
    jetstream: Context,
    streams: [Stream; 3],
}

fn unreachable(config: &ClusterConfig, why: impl std::fmt::Display) -> ClusterError {
    ClusterError::Unreachable { servers: config.servers.join(", "), why: why.to_string() }
}

async fn open(config: &ClusterConfig, node: &str, told: Arc<Notify>) -> Result<Opened, ClusterError> {
    let client = options(config, node, told).await?.connect(config.servers.clone()).await;
    let client = client.map_err(|error| unreachable(config, error))?;
    let mut jetstream = jetstream::new(client.clone());
    jetstream.set_timeout(ANSWER);
    let names = Names::of(&config.service);
    let kept = |name, subjects| kept(config, name, subjects);
    let records = Config {
        max_messages_per_subject: 1,
        allow_rollup: true,
        deny_delete: true,
        ..kept(names.records(), vec![names.record(">")])
    };
    let events = kept(names.events(), vec![names.event("*")]);
    let work = Config { retention: RetentionPolicy::WorkQueue, ..kept(names.work(), vec![names.all_work()]) };
    let mut streams = Vec::new();
    for of in [records, events, work] {
        streams.push(stream(&jetstream, of).await?);
    }
    let streams = streams.try_into().map_err(|_| ClusterError::Jobs(unavailable("streams are missing")))?;
    Ok(Opened { names, client, jetstream, streams })
}

/// The number of a stream's last message, as the server has it that leads the stream. Where none does, because a majority of them is
/// away, another one answers with what it has.
///
/// # Errors
/// Why it cannot be known.
pub(crate) async fn last_number(stream: &Stream) -> Result<u64, String> {
    let info = stream.get_info().await.map_err(|error| error.to_string())?;
    if info.cluster.is_some_and(|cluster| cluster.leader.is_none()) {
        return Err("a majority of the servers is away".to_owned());
    }
    Ok(info.state.last_sequence)
}

/// A stream that the servers keep in files, as many copies as are configured.
pub(crate) fn kept(config: &ClusterConfig, name: String, subjects: Vec<String>) -> Config {
    Config {
        name,
        subjects,
        storage: StorageType::File,
        num_replicas: config.replicas,
        discard: DiscardPolicy::New,
        duplicate_window: Duration::from_secs(120),
        ..Config::default()
    }
}

async fn options(config: &ClusterConfig, node: &str, told: Arc<Notify>) -> Result<ConnectOptions, ClusterError> {
    let mut options = ConnectOptions::new()
        .name(format!("ltxd {node}"))
        .ping_interval(PING)
        .connection_timeout(ANSWER)
        .request_timeout(Some(ANSWER))
        .reconnect_delay_callback(|tries| Duration::from_millis((50 << tries.min(5)) as u64))
        .event_callback(move |event| {
            if matches!(event, Event::Connected) {
                told.notify_waiters();
            }
            heard(event)
        });
    let not = |key, file: &std::path::Path| {
        let file = file.to_owned();
        move |why: std::io::Error| ClusterError::File { key, file, why: why.to_string() }
    };
    if let Some(file) = &config.credentials_file {
        options = options.credentials_file(file).await.map_err(not("cluster.credentials_file", file))?;
    }
    if let Some(file) = &config.nkey_file {
        let seed = tokio::fs::read_to_string(file).await.map_err(not("cluster.nkey_file", file))?;
        options = options.nkey(seed.trim().to_owned());
    }
    let there = async |key, file: &std::path::Path| tokio::fs::metadata(file).await.map(drop).map_err(not(key, file));
    if let Some(ca) = &config.tls.ca {
        there("cluster.tls_ca", ca).await?;
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let Some((cert, key)) = &config.tls.own {
        there("cluster.tls_cert", cert).await?;
        there("cluster.tls_key", key).await?;
        options = options.add_client_certificate(cert.clone(), key.clone()).require_tls(true);
    }
    Ok(options)
}

async fn heard(event: Event) {
    match event {
        Event::Connected => tracing::info!("connected to the cluster's store"),
        Event::Disconnected => tracing::warn!("the cluster's store is not connected"),
        other => tracing::debug!(event = %other, "the cluster's store"),
    }
}

/// A stream, made where it is missing. One with fewer replicas gets more; one with more is another service's, or a mistake.
pub(crate) async fn stream(jetstream: &Context, config: Config) -> Result<Stream, ClusterError> {
    let since = Instant::now();
    loop {
        let failed = match jetstream.get_or_create_stream(config.clone()).await {
            Ok(stream) => {
                let there = stream.cached_info().config.clone();
                if there.num_replicas > config.num_replicas {
                    return Err(ClusterError::Differs {
                        key: "cluster.replicas",
                        here: config.num_replicas.to_string(),
                        there: there.num_replicas.to_string(),
                        remedy: "give every node that number",
                    });
                }
                if there.num_replicas == config.num_replicas {
                    return Ok(stream);
                }
                let more = Config { num_replicas: config.num_replicas, ..there };
                match jetstream.update_stream(more).await {
                    Ok(_) => continue,
                    Err(error) => error.to_string(),
                }
            }
            Err(error) => error.to_string(),
        };
        // Servers that have just started choose a leader first.
        if since.elapsed() > START {
            return Err(ClusterError::Stream { stream: config.name, why: failed });
        }
        tracing::debug!(stream = config.name, why = failed, "waiting for the cluster's store");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
