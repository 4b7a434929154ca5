//! Requests to a hub, and to where it redirects.
//!
//! The token is sent to the endpoint alone: scheme, host and port are compared at every request, and no redirection is followed
//! by the HTTP library itself.
//!
//! Must not know what is done with the bytes.

use crate::{
    Cache, HubError, HubSettings, Patience, Remote, RepoFile, Repository, Result, Revision, Watch,
    answers::Answers,
    attempt::{Attempt, Backoff, rate_limit, retry_after},
    http,
    names::is_file_path,
};
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, LINK, LOCATION, RANGE, RETRY_AFTER},
};
use serde::Deserialize;
use std::{ops::Range, time::SystemTime};
use tokio::time::timeout;

/// Moves within a hub, or from server to server, that are followed.
const MOVES: usize = 5;
/// The most bytes of a list of files, and the most pages of one.
const LIST_BYTES: usize = 8 << 20;
const LIST_PAGES: usize = 50;

/// A hub, and the cache that its files are kept in.
pub struct Hub {
    client: Client,
    endpoint: Url,
    pub(crate) settings: HubSettings,
    pub(crate) cache: Cache,
    /// Bytes of files that have come; connections are added as they do.
    pub(crate) came: Came,
}

pub(crate) type Came = tokio::sync::watch::Sender<u64>;

/// What a request is about.
struct Asked<'a> {
    method: Method,
    url: Url,
    range: Option<Range<u64>>,
    file: &'a RepoFile,
}

impl Hub {
    /// # Errors
    /// A setting that cannot be used.
    pub fn new(settings: HubSettings, cache: Cache) -> Result<Self> {
        let bad = |rule: String| HubError::Setting { name: "HF_ENDPOINT", value: settings.endpoint.clone(), rule };
        let endpoint = Url::parse(&settings.endpoint).map_err(|error| bad(format!("not an address: {error}")))?;
        if !["http", "https"].contains(&endpoint.scheme()) || !endpoint.has_host() {
            return Err(bad("not an http:// or https:// address".to_owned()));
        }
        let client = http::client(&settings, bad)?;
        Ok(Self { client, endpoint, settings, cache, came: Came::new(0) })
    }

    /// The cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Whether no request may be made.
    pub fn is_offline(&self) -> bool {
        self.settings.offline
    }

    /// Asks for a file's commit, size, digest and place.
    ///
    /// # Errors
    /// The hub cannot be reached, does not have it, or does not give it.
    pub async fn describe(&self, file: &RepoFile, watch: &dyn Watch) -> Result<Remote> {
        self.online(file)?;
        let mut backoff = Backoff::new(&self.settings.patience, watch);
        loop {
            match self.head(file).await {
                Ok(remote) => return Ok(remote),
                Err(Attempt::Again { why, asked }) => backoff.wait(why, asked).await?,
                Err(Attempt::Over(error) | Attempt::Expired(error)) => return Err(error),
                Err(Attempt::NoRanges) => return Err(self.nonsense(file, "a part that was not asked for")),
            }
        }
    }

    /// The names of the files in the folder of a revision itself.
    ///
    /// # Errors
    /// As of [`Hub::describe`].
    pub async fn list(&self, repository: &Repository, revision: &Revision, watch: &dyn Watch) -> Result<Vec<String>> {
        let file = RepoFile::new(repository.clone(), revision.clone(), "its list of files")?;
        self.online(&file)?;
        let mut backoff = Backoff::new(&self.settings.patience, watch);
        loop {
            let listed = match self.tree(&file).await {
                Err(Attempt::Over(HubError::NotFound { .. })) => self.siblings(&file).await,
                listed => listed,
            };
            match listed {
                Ok(paths) => {
                    return Ok(paths.into_iter().filter(|path| is_file_path(path) && !path.contains('/')).collect());
                }
                Err(Attempt::Again { why, asked }) => backoff.wait(why, asked).await?,
                Err(Attempt::Over(error) | Attempt::Expired(error)) => return Err(error),
                Err(Attempt::NoRanges) => return Err(self.nonsense(&file, "a part that was not asked for")),
            }
        }
    }

    fn online(&self, file: &RepoFile) -> Result<()> {
        if self.settings.offline { Err(HubError::Offline { file: file.to_string() }) } else { Ok(()) }
    }

    fn nonsense(&self, file: &RepoFile, what: &str) -> HubError {
        HubError::Nonsense { host: host(&self.endpoint), file: file.to_string(), what: what.to_owned() }
    }

    /// An address under the endpoint.
    fn address<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.endpoint.clone();
        url.set_query(None);
        url.set_fragment(None);
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }

    async fn head(&self, file: &RepoFile) -> Result<Remote, Attempt> {
        let names = file.repository.as_str().split('/').chain(["resolve", file.revision.as_str()]);
        let mut url = self.address(names.chain(file.path.split('/')));
        let mut headers: Vec<HeaderMap> = Vec::new();
        for _ in 0..=MOVES {
            let answer = self.send(&Asked { method: Method::HEAD, url: url.clone(), range: None, file }).await?;
            headers.insert(0, answer.headers().clone());
            // Only a move within the hub is followed: the hub says what a file is, another server has its bytes.
            match within(answer.headers(), &url).filter(|_| answer.status().is_redirection()) {
                Some(moved) => url = moved,
                None => return Ok(Remote::of(file, &Answers { host: host(&url), headers, asked: url })?),
            }
        }
        Err(self.nonsense(file, "with redirections without end").into())
    }

    async fn tree(&self, file: &RepoFile) -> Result<Vec<String>, Attempt> {
        #[derive(Deserialize)]
        struct Entry {
            #[serde(rename = "type")]
            kind: String,
            path: String,
        }
        let names = ["api", "models"].into_iter().chain(file.repository.as_str().split('/'));
        let mut url = self.address(names.chain(["tree", file.revision.as_str()]));
        let mut paths = Vec::new();
        for _ in 0..LIST_PAGES {
            let (headers, entries): (_, Vec<Entry>) = self.json(&url, file).await?;
            paths.extend(entries.into_iter().filter(|entry| entry.kind == "file").map(|entry| entry.path));
            match next_page(&headers, &url).filter(|next| next.origin() == self.endpoint.origin()) {
                Some(next) => url = next,
                None => return Ok(paths),
            }
        }
        Err(self.nonsense(file, "in more pages than a list of files has").into())
    }

    /// The other list of files, for a hub that has no tree.
    async fn siblings(&self, file: &RepoFile) -> Result<Vec<String>, Attempt> {
        #[derive(Deserialize)]
        struct Info {
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let names = ["api", "models"].into_iter().chain(file.repository.as_str().split('/'));
        let url = self.address(names.chain(["revision", file.revision.as_str()]));
        let (_, info): (_, Info) = self.json(&url, file).await?;
        Ok(info.siblings.into_iter().map(|sibling| sibling.rfilename).collect())
    }

    async fn json<T: serde::de::DeserializeOwned>(
        &self,
        url: &Url,
        file: &RepoFile,
    ) -> Result<(HeaderMap, T), Attempt> {
        let mut answer = self.get(url, None, file).await?;
        let headers = answer.headers().clone();
        let mut body = Vec::new();
        while let Some(bytes) = self.next_bytes(&mut answer).await? {
            body.extend_from_slice(bytes.as_ref());
            if body.len() > LIST_BYTES {
                return Err(self.nonsense(file, "more than a list of files has").into());
            }
        }
        let parsed = serde_json::from_slice(&body);
        Ok((headers, parsed.map_err(|error| self.nonsense(file, &format!("no list of files: {error}")))?))
    }

    /// Starts to fetch bytes, through redirections.
    pub(crate) async fn get(&self, url: &Url, range: Option<Range<u64>>, file: &RepoFile) -> Result<Response, Attempt> {
        let mut url = url.clone();
        for _ in 0..=MOVES {
            let answer =
                self.send(&Asked { method: Method::GET, url: url.clone(), range: range.clone(), file }).await?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok()).and_then(|to| url.join(to).ok());
            url = to.ok_or_else(|| self.nonsense(file, "with a redirection to nowhere"))?;
        }
        Err(self.nonsense(file, "with redirections without end").into())
    }

    /// The next bytes of an answer, or its end. A server that is silent for too long is left.
    pub(crate) async fn next_bytes(&self, answer: &mut Response) -> Result<Option<impl AsRef<[u8]> + use<>>, Attempt> {
        let host = host(answer.url());
        match timeout(self.settings.patience.stall, answer.chunk()).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(broken(host, error.without_url())),
            Err(_) => Err(stalled(host, &self.settings.patience)),
        }
    }

    async fn send(&self, asked: &Asked<'_>) -> Result<Response, Attempt> {
        let mut request =
            self.client.request(asked.method.clone(), asked.url.clone()).header(ACCEPT_ENCODING, "identity");
        let at_home = asked.url.origin() == self.endpoint.origin();
        if let Some(token) = self.settings.token.as_ref().filter(|_| at_home) {
            request = request.header(AUTHORIZATION, token.header());
        }
        if let Some(range) = &asked.range {
            request = request.header(RANGE, format!("bytes={}-{}", range.start, range.end - 1));
        }
        let host = host(&asked.url);
        let answer = match timeout(self.settings.patience.answer, request.send()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(broken(host, error.without_url())),
            Err(_) => return Err(stalled(host, &self.settings.patience)),
        };
        let status = answer.status();
        if status.is_success() || status.is_redirection() { Ok(answer) } else { Err(self.refused(asked, &answer)) }
    }

    /// What a status that is no success means.
    fn refused(&self, asked: &Asked<'_>, answer: &Response) -> Attempt {
        let (host, file, status) = (host(&asked.url), asked.file.to_string(), answer.status());
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let said = header("x-error-message").or(header("x-error-code")).map(printable);
        let wait = header(RETRY_AFTER.as_str()).and_then(|text| retry_after(text, SystemTime::now()));
        let wait = wait.or_else(|| header("ratelimit").and_then(rate_limit));
        let at_home = asked.url.origin() == self.endpoint.origin();
        let other = HubError::Status { host: host.clone(), file: file.clone(), status: status.as_u16() };
        match status {
            StatusCode::TOO_MANY_REQUESTS => Attempt::Again { why: HubError::TooMany { host, wait }, asked: wait },
            StatusCode::REQUEST_TIMEOUT => Attempt::Again { why: other, asked: wait },
            status if status.is_server_error() => Attempt::Again { why: other, asked: wait },
            // An address with a signature is good for a time.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE if !at_home => {
                Attempt::Expired(other)
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Attempt::Over(HubError::Denied {
                file,
                page: self.address(asked.file.repository.as_str().split('/')).to_string(),
                status: status.as_u16(),
                said,
                with_token: self.settings.token.is_some(),
            }),
            StatusCode::NOT_FOUND => Attempt::Over(HubError::NotFound {
                repository: asked.file.repository.to_string(),
                revision: asked.file.revision.to_string(),
                path: asked.file.path.clone(),
                said,
            }),
            _ => Attempt::Over(other),
        }
    }
}

/// What a server said, as it may be shown in a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// A server's name, without what its address may hold of secrets.
pub(crate) fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

fn broken(host: String, error: reqwest::Error) -> Attempt {
    Attempt::Again { why: HubError::Unreachable { host, attempts: 1, source: error.into() }, asked: None }
}

pub(crate) fn stalled(host: String, patience: &Patience) -> Attempt {
    let why = format!("nothing, or next to nothing, came in {} s", patience.stall.as_secs_f64());
    Attempt::Again { why: HubError::Unreachable { host, attempts: 1, source: why.into() }, asked: None }
}

/// Where a redirection within the hub leads, unless the answer says itself what the file is.
fn within(headers: &HeaderMap, asked: &Url) -> Option<Url> {
    let to = headers.get(LOCATION)?.to_str().ok()?;
    let to = asked.join(to).ok().filter(|to| to.origin() == asked.origin())?;
    (!headers.contains_key("x-linked-etag")).then_some(to)
}

/// The page that a `Link: <…>; rel="next"` names.
fn next_page(headers: &HeaderMap, asked: &Url) -> Option<Url> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let next = link.split(',').find(|link| link.contains("rel=\"next\""))?;
    let target = next.trim().strip_prefix('<')?.split('>').next()?;
    asked.join(target).ok()
}
