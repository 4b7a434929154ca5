//! One question to another server, by the same client and proxies: a body goes, a body comes back.
//!
//! Must not know what is asked. Nothing of a hub goes with it, no token above all.

use crate::{HubError, HubSettings, Result, client::host};
use reqwest::{
    Client, Url,
    header::{ACCEPT, CONTENT_TYPE},
    redirect,
};
use tokio::time::timeout;

/// The most bytes of an answer.
const ANSWER_BYTES: usize = 1 << 20;

/// A question, and what is to come back.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The setting that names the address.
    pub setting: &'static str,
    /// `http://` or `https://`.
    pub url: &'a str,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The media type of the answer.
    pub accept: &'static str,
    /// What is asked.
    pub body: &'a [u8],
}

/// Asks once, and follows no redirection.
///
/// # Errors
/// `Setting`: no address. `Unreachable`: nobody answers in time, or with something else, or with more than a megabyte.
pub async fn post(settings: &HubSettings, question: Question<'_>) -> Result<Vec<u8>> {
    let Question { setting, url, content_type, accept, body } = question;
    let bad = |rule: String| HubError::Setting { name: setting, value: url.to_owned(), rule };
    let address = Url::parse(url).map_err(|error| bad(format!("not an address: {error}")))?;
    let agent = concat!("ltxd/", env!("CARGO_PKG_VERSION"));
    let builder = Client::builder().user_agent(agent).redirect(redirect::Policy::none()).referer(false).no_proxy();
    let builder = settings.proxies.list()?.into_iter().fold(builder, reqwest::ClientBuilder::proxy);
    let client = builder.http1_only().build().map_err(|error| bad(format!("no HTTP client can be made: {error}")))?;
    let host = host(&address);
    let unreachable = |source| HubError::Unreachable { host: host.clone(), attempts: 1, source };
    let asked = async {
        let sent = client.post(address).header(CONTENT_TYPE, content_type).header(ACCEPT, accept).body(body.to_vec());
        let mut answer = sent.send().await.map_err(|error| unreachable(error.into()))?;
        if !answer.status().is_success() {
            return Err(unreachable(format!("it answers {}", answer.status()).into()));
        }
        let mut bytes = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| unreachable(error.into()))? {
            bytes.extend_from_slice(&part);
            if bytes.len() > ANSWER_BYTES {
                return Err(unreachable(format!("it answers with more than {ANSWER_BYTES} bytes").into()));
            }
        }
        Ok(bytes)
    };
    let late = |_| unreachable(format!("no answer came in {} s", settings.patience.stall.as_secs_f64()).into());
    timeout(settings.patience.stall, asked).await.map_err(late)?
}
