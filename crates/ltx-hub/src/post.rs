//! One question to another server, by the same client and proxies: a body goes, a body comes back.
//!
//! Must not know what is asked. Nothing of a hub goes with it, no token above all.

use crate::{HubError, HubSettings, Result, client::host, http};
use reqwest::{
    Url,
    header::{ACCEPT, CONTENT_TYPE},
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

/// Asks once, and follows no redirection. Errors name the server and not the address, which may hold a password.
///
/// # Errors
/// `Setting`: no address. `Unreachable`: nobody answers in time, or with something else, or with more than a megabyte.
pub async fn post(settings: &HubSettings, question: Question<'_>) -> Result<Vec<u8>> {
    let Question { setting, url, content_type, accept, body } = question;
    let bad = |rule: String| HubError::Setting { name: setting, value: "(not shown)".to_owned(), rule };
    let address = Url::parse(url).map_err(|error| bad(format!("not an address: {error}")))?;
    let client = http::client(settings, bad)?;
    let host = host(&address);
    let unreachable = |source| HubError::Unreachable { host: host.clone(), attempts: 1, source };
    let broken = |error: reqwest::Error| unreachable(error.without_url().into());
    let asked = async {
        let sent = client.post(address).header(CONTENT_TYPE, content_type).header(ACCEPT, accept).body(body.to_vec());
        let mut answer = sent.send().await.map_err(broken)?;
        if !answer.status().is_success() {
            return Err(unreachable(format!("it answers {}", answer.status()).into()));
        }
        let mut bytes = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(broken)? {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        error::Error,
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

    /// What is said where a server hears a question and answers this; without a server, of no address.
    fn said(answer: Option<&'static [u8]>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = match answer {
            Some(_) => format!("http://name:secret@{}/path?key=secret", listener.local_addr().unwrap()),
            None => "http://name:secret@[::/path".to_owned(),
        };
        let server = answer.map(|answer| {
            thread::spawn(move || {
                let mut stream = listener.accept().unwrap().0;
                let heard = stream.read(&mut [0; 1024]).unwrap();
                stream.write_all(answer).unwrap();
                heard
            })
        });
        let question = Question { setting: "a.setting", url: &url, content_type: "a/b", accept: "c/d", body: b"" };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(post(&HubSettings::default(), question)).unwrap_err();
        assert!(server.is_none_or(|server| server.join().unwrap() > 0));
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        format!("{error}: {cause}\n{error:?}")
    }

    #[test]
    fn no_error_shows_the_address() {
        let cases: [(Option<&[u8]>, &str); 4] = [
            (None, "a.setting = (not shown)"),
            (Some(b""), "127.0.0.1"),
            (Some(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), "127.0.0.1"),
            (Some(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), "503"),
        ];
        for (answer, expected) in cases {
            let said = said(answer);
            assert!(said.contains(expected) && !said.contains("secret") && !said.contains("/path"), "{said}");
        }
    }
}
