//! How a hub is reached: endpoint, token, proxies, patience.
//!
//! Must not know where they were read.

use crate::{HubError, Result};
use reqwest::{NoProxy, Proxy, Url, header::HeaderValue};
use std::{fmt, time::Duration};

/// Everything that a hub needs to be told.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// Where the hub is.
    pub endpoint: String,
    /// Who asks. Sent to the endpoint alone, never to where it redirects.
    pub token: Option<Token>,
    /// Whether no request may be made.
    pub offline: bool,
    /// The ways out.
    pub proxies: Proxies,
    /// How long and how often.
    pub patience: Patience,
    /// Ranges of a file that are fetched at once.
    pub connections: usize,
}

impl Default for HubSettings {
    fn default() -> Self {
        Self {
            endpoint: "https://huggingface.co".to_owned(),
            token: None,
            offline: false,
            proxies: Proxies::default(),
            patience: Patience::default(),
            connections: 4,
        }
    }
}

/// A token of the hub; shown nowhere.
#[derive(Clone)]
pub struct Token(HeaderValue);

impl Token {
    /// # Errors
    /// It cannot stand in a header.
    pub fn new(text: &str) -> Result<Self> {
        let rule = "holds spaces or other than ASCII; a token is one word such as hf_…".to_owned();
        let bad = || HubError::Setting { name: "HF_TOKEN", value: "(not shown)".to_owned(), rule };
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad());
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| bad())?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Proxies as `HTTP_PROXY` and its kin state them.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For `http://`.
    pub http: Option<String>,
    /// For `https://`.
    pub https: Option<String>,
    /// For what has none of its own.
    pub all: Option<String>,
    /// Hosts that are reached without one.
    pub none: Option<String>,
}

impl Proxies {
    pub(crate) fn list(&self) -> Result<Vec<Proxy>> {
        let none = self.none.as_deref().and_then(NoProxy::from_string);
        let mut list = Vec::new();
        type Make = fn(Url) -> reqwest::Result<Proxy>;
        let stated: [(_, _, Make); 3] = [
            ("HTTP_PROXY", &self.http, Proxy::http),
            ("HTTPS_PROXY", &self.https, Proxy::https),
            ("ALL_PROXY", &self.all, Proxy::all),
        ];
        for (name, stated, make) in stated {
            let Some(text) = stated else { continue };
            // A password may stand in it.
            let bad = |rule: String| HubError::Setting { name, value: "(not shown)".to_owned(), rule };
            let whole = if text.contains("://") { text.clone() } else { format!("http://{text}") };
            let url = Url::parse(&whole).map_err(|error| bad(format!("not a proxy's address: {error}")))?;
            if !["http", "https"].contains(&url.scheme()) {
                let rule = format!("a proxy of kind {}; only http:// and https:// are supported", url.scheme());
                return Err(bad(rule));
            }
            list.push(make(url).map_err(|error| bad(error.to_string()))?.no_proxy(none.clone()));
        }
        Ok(list)
    }
}

/// How long and how often a server is tried.
#[derive(Debug, Clone)]
pub struct Patience {
    /// Tries in a row that bring nothing.
    pub attempts: u32,
    /// The wait after the first failure; doubled after each.
    pub first_wait: Duration,
    /// The longest wait of one's own accord.
    pub longest_wait: Duration,
    /// The longest wait that a server may ask for (`Retry-After`).
    pub longest_asked: Duration,
    /// How long a connection may take to be made, and to answer.
    pub answer: Duration,
    /// Within this time a connection brings at least [`Patience::LEAST`] bytes, or is cut and made anew.
    pub stall: Duration,
}

impl Patience {
    /// The bytes that a connection brings within `stall`.
    pub const LEAST: u64 = 16 << 10;
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            longest_asked: Duration::from_secs(300),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(30),
        }
    }
}
