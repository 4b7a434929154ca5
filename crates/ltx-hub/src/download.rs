//! A file from the hub into the cache: ranges at once, resumed, checked, whole or not at all.
//!
//! Must not know what is asked for next.

use crate::{
    Digest, Hub, HubError, News, Patience, Remote, RepoFile, Repository, Result, Revision, Watch,
    attempt::{Attempt, Backoff},
    client::{host, stalled},
    digest_of, lock,
    partial::{Partial, Taken, sweep},
};
use futures_util::future::try_join_all;
use parking_lot::Mutex;
use reqwest::{Response, StatusCode, Url, header::CONTENT_RANGE};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{select, time::Instant};

/// Bytes after which a connection counts as good, however it ends.
const GOOD: u64 = 64 << 10;

/// Bytes that have to come before a connection is added to those that are. What is on its way when a process is killed comes twice:
/// few connections keep that little where pulls are short, and a long one soon has them all.
fn bytes_before(connection: usize) -> u64 {
    const MIB: u64 = 1 << 20;
    match connection {
        0 => 0,
        1 => MIB,
        later => (later as u64 - 1) * 16 * MIB,
    }
}

/// What all ranges of a file share.
struct Shared<'a> {
    hub: &'a Hub,
    remote: &'a Remote,
    partial: &'a Partial,
    watch: &'a dyn Watch,
    /// Where the bytes are; asked anew when it is no longer good.
    location: Mutex<Url>,
}

impl Hub {
    /// Bytes that are still to come of a file of so many, by the name of its bytes: none of one that is whole, the rest of one that
    /// is on its way.
    pub fn missing_bytes(&self, repository: &Repository, etag: &str, bytes: u64) -> u64 {
        let blob = self.cache.blob(repository, etag);
        if is_whole(&blob, bytes) { 0 } else { bytes - Partial::here(&blob, bytes).min(bytes) }
    }

    /// Fetches a file, unless its bytes are here already, and makes it appear under its commit. Where another process fetches the
    /// same bytes, its end is waited for. `pinned` is what a lock says that the bytes are.
    ///
    /// # Errors
    /// The file cannot be fetched or kept, or it is not what it should be.
    pub async fn fetch(&self, remote: &Remote, pinned: Option<&Digest>, watch: &Arc<dyn Watch>) -> Result<PathBuf> {
        let repository = &remote.file.repository;
        let blob = self.cache.blob(repository, &remote.etag);
        self.cache.prepare(repository)?;
        if let (Some(pinned), Some(told)) = (pinned, remote.digest())
            && pinned.kind() == told.kind()
        {
            compare(remote, pinned, &told)?;
        }
        let _held = lock::hold(&self.cache.lock(repository, &remote.etag), &**watch).await?;
        if is_whole(&blob, remote.bytes) {
            watch.tell(News::Resumed(remote.bytes));
        } else {
            let partial = self.bytes_of(Partial::open(&blob, remote.bytes)?, remote, &**watch).await?;
            check(partial, remote, pinned, &blob, watch).await?.place(&blob)?;
        }
        sweep(&blob);
        self.cache.publish(&remote.file, &remote.commit, &remote.etag)
    }

    /// Fetches what is not here of a file: in ranges, or in one piece from a server that has none.
    async fn bytes_of(&self, partial: Partial, remote: &Remote, watch: &dyn Watch) -> Result<Partial> {
        watch.tell(News::Resumed(partial.done()));
        let partial = match self.fill(&partial, remote, watch).await {
            Ok(()) => return Ok(partial),
            Err(Attempt::NoRanges) => {
                watch.tell(News::Lost(partial.done()));
                partial.in_one()?
            }
            Err(failed) => return Err(self.why(failed, remote)),
        };
        let filled = self.fill(&partial, remote, watch).await;
        filled.map(|()| partial).map_err(|failed| self.why(failed, remote))
    }

    async fn fill(&self, partial: &Partial, remote: &Remote, watch: &dyn Watch) -> Result<(), Attempt> {
        let shared = Shared { hub: self, remote, partial, watch, location: Mutex::new(remote.location.clone()) };
        let connections = self.settings.connections.max(1);
        // Whoever waits for its turn ends with the others.
        let ended = tokio::sync::watch::Sender::new(false);
        let connection = async |number| {
            let (mut came, mut end) = (self.came.subscribe(), ended.subscribe());
            select! {
                _ = came.wait_for(|came| *came >= bytes_before(number)) => {}
                _ = end.wait_for(|ended| *ended) => return Ok(()),
            }
            let taken = shared.take_ranges().await;
            ended.send_replace(true);
            taken
        };
        try_join_all((0..connections).map(connection)).await.map(drop)
    }

    fn why(&self, failed: Attempt, remote: &Remote) -> HubError {
        match failed {
            Attempt::Again { why, .. } | Attempt::Over(why) | Attempt::Expired(why) => why,
            Attempt::NoRanges => nonsense(remote, &remote.location, "another part of it than was asked for"),
        }
    }
}

impl Shared<'_> {
    /// One connection's work: range after range, until none is left.
    async fn take_ranges(&self) -> Result<(), Attempt> {
        while let Some(mut taken) = self.partial.take() {
            let mut backoff = Backoff::new(&self.hub.settings.patience, self.watch);
            while !taken.rest.is_empty() {
                let from = taken.rest.start;
                let failed = match self.stream(&mut taken).await {
                    Ok(()) => continue,
                    Err(failed) => failed,
                };
                // What a server without ranges sends it sends from the beginning: that is no progress.
                if taken.rest.start >= from + GOOD && !self.partial.is_in_one() {
                    backoff.progressed();
                }
                match failed {
                    Attempt::Again { why, asked } => backoff.wait(why, asked).await?,
                    Attempt::Expired(why) => {
                        backoff.wait(why, None).await?;
                        let anew = self.hub.describe(&self.at_commit()?, self.watch).await?;
                        if anew.etag != self.remote.etag {
                            return Err(nonsense(self.remote, &anew.location, "that it has changed meanwhile").into());
                        }
                        *self.location.lock() = anew.location;
                    }
                    over => return Err(over),
                }
            }
        }
        Ok(())
    }

    /// The file as it is at the commit that is fetched, whatever happens to the branch meanwhile.
    fn at_commit(&self) -> Result<RepoFile> {
        Ok(RepoFile { revision: Revision::new(&self.remote.commit)?, ..self.remote.file.clone() })
    }

    /// Asks for what is left of a range and keeps what comes, up to its end or the connection's.
    async fn stream(&self, taken: &mut Taken) -> Result<(), Attempt> {
        let url = self.location.lock().clone();
        // A small file is asked for as a whole: not everything that the hub sends itself comes in ranges.
        let range = if taken.rest == (0..self.partial.total()) { None } else { Some(taken.rest.clone()) };
        let mut answer = self.hub.get(&url, range.clone(), &self.remote.file).await?;
        match (answer.status(), range) {
            (StatusCode::OK, None) => {}
            (StatusCode::OK, Some(_)) if self.partial.is_in_one() => {
                self.watch.tell(News::Lost(self.partial.restarted(taken)));
            }
            (StatusCode::OK, Some(_)) => return Err(Attempt::NoRanges),
            (StatusCode::PARTIAL_CONTENT, Some(range)) if is_of(&answer, range.start, self.partial.total()) => {}
            (status, _) => {
                let what = format!("{status} with another part of it than was asked for, or of another size");
                return Err(nonsense(self.remote, &url, &what).into());
            }
        }
        self.keep(&mut answer, taken).await
    }

    async fn keep(&self, answer: &mut Response, taken: &mut Taken) -> Result<(), Attempt> {
        let patience = &self.hub.settings.patience;
        let (mut since, mut came) = (Instant::now(), 0);
        while !taken.rest.is_empty() {
            let Some(bytes) = self.hub.next_bytes(answer).await? else {
                let why = format!(
                    "the connection ended {} bytes before the end of a range",
                    taken.rest.end - taken.rest.start
                );
                let why = HubError::Unreachable { host: host(answer.url()), attempts: 1, source: why.into() };
                return Err(Attempt::Again { why, asked: None });
            };
            let kept = self.partial.keep(taken, bytes.as_ref())?;
            self.watch.tell(News::Came(kept));
            self.hub.came.send_modify(|came| *came += kept);
            came += kept;
            if since.elapsed() >= patience.stall {
                if came < Patience::LEAST && !taken.rest.is_empty() {
                    return Err(stalled(host(answer.url()), patience));
                }
                (since, came) = (Instant::now(), 0);
            }
        }
        Ok(())
    }
}

fn nonsense(remote: &Remote, url: &Url, what: &str) -> HubError {
    HubError::Nonsense { host: host(url), file: remote.file.to_string(), what: what.to_owned() }
}

/// Whether `Content-Range: bytes 5-9/10` begins and is as long as it should.
fn is_of(answer: &Response, start: u64, total: u64) -> bool {
    let stated = answer.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let parts = stated.and_then(|text| text.trim().strip_prefix("bytes ")?.split_once('/'));
    parts.is_some_and(|(range, of)| {
        let from = range.split('-').next().and_then(|from| from.parse().ok());
        from == Some(start) && (of == "*" || of.parse() == Ok(total))
    })
}

fn is_whole(blob: &Path, bytes: u64) -> bool {
    blob.metadata().is_ok_and(|blob| blob.is_file() && blob.len() == bytes)
}

fn compare(remote: &Remote, expected: &Digest, found: &Digest) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    let (kind, file) = (expected.kind(), remote.file.to_string());
    Err(HubError::WrongBytes { file, kind, expected: expected.hex().to_owned(), found: found.hex().to_owned() })
}

/// Adds up what came; wrong bytes are not kept.
async fn check(
    partial: Partial,
    remote: &Remote,
    pinned: Option<&Digest>,
    blob: &Path,
    watch: &Arc<dyn Watch>,
) -> Result<Partial> {
    let mut expected: Vec<Digest> = remote.digest().into_iter().collect();
    expected.extend(pinned.filter(|pinned| !expected.contains(pinned)).cloned());
    for digest in expected {
        let (path, like, told) = (partial.path().to_owned(), digest.clone(), Arc::clone(watch));
        let read =
            tokio::task::spawn_blocking(move || digest_of(&path, &like, &|bytes| told.tell(News::Checked(bytes))));
        let found = read.await.unwrap_or_else(|panicked| Err(std::io::Error::other(panicked)));
        let found = found.map_err(HubError::io(partial.path()))?;
        if let Err(error) = compare(remote, &digest, &found) {
            partial.discard(blob);
            return Err(error);
        }
    }
    Ok(partial)
}
