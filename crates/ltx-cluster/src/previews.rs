//! Previews for whoever watches at another node: sent over NATS itself, a subject for each generation, and kept by nobody.
//!
//! Must not know how they are made. The node that makes a generation asks every second whether another one wants to see it; only while
//! one does are previews sent, the newest first.

use crate::{Cluster, connection::Connection};
use async_nats::{Client, HeaderMap, Message, Request};
use futures_util::StreamExt;
use ltx_jobs::{
    GenerationId,
    ports::{PreviewExchange, Shown},
};
use ltx_types::{Progress, Stage};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, task::AbortHandle};

/// How often it is asked who wants previews, and how long an answer may take.
const ASKED: Duration = Duration::from_secs(1);

/// The shortest time between two that are sent.
const BETWEEN: Duration = Duration::from_millis(100);

/// The largest that is sent, where the servers take so much.
const LARGEST: usize = 1 << 20;

/// What of a message is no picture.
const BESIDE: usize = 4096;

/// What every PNG begins with.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The header that says what a message is.
const HEADER: &str = "Ltxd-Preview";

/// Who sends, and what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    node: String,
    /// The steps after which it was made; `None` where it is asked who wants any.
    #[serde(default)]
    after: Option<After>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct After {
    stage: Stage,
    done: usize,
    total: usize,
}

/// A preview that is to be sent.
#[derive(Clone)]
struct Made {
    after: After,
    png: Arc<[u8]>,
}

/// The nodes that want previews of what this one makes. They are asked, and sent to, until it is dropped.
pub(crate) struct Audience {
    wanted: Arc<AtomicBool>,
    newest: watch::Sender<Option<Made>>,
    tasks: [AbortHandle; 2],
}

impl Audience {
    pub(crate) fn new(connection: &Connection, node: &str, id: GenerationId) -> Self {
        let (wanted, (newest, made)) = (Arc::new(AtomicBool::new(false)), watch::channel(None));
        let here =
            Here { client: connection.client.clone(), subject: connection.names.preview(id), node: node.to_owned() };
        let ask = connection.spawn(ask(here.clone(), Arc::clone(&wanted)));
        let send = connection.spawn(send(here, made));
        Self { wanted, newest, tasks: [ask, send] }
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// A node, and where previews of a generation go.
#[derive(Clone)]
struct Here {
    client: Client,
    subject: String,
    node: String,
}

impl Here {
    fn headers(&self, after: Option<After>) -> Option<HeaderMap> {
        let about = serde_json::to_string(&About { node: self.node.clone(), after }).ok()?;
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, about);
        Some(headers)
    }
}

/// Asks again and again who wants previews.
async fn ask(here: Here, wanted: Arc<AtomicBool>) {
    loop {
        if let Some(headers) = here.headers(None) {
            let asked = Request::new().headers(headers).payload("".into()).timeout(Some(ASKED));
            let answered = here.client.send_request(here.subject.clone(), asked).await;
            wanted.store(answered.is_ok(), Ordering::Relaxed);
        }
        tokio::time::sleep(ASKED).await;
    }
}

/// Sends what was just made, and no more than so many a second: what is made too soon is left out, unless nothing follows it.
async fn send(here: Here, mut made: watch::Receiver<Option<Made>>) {
    while made.changed().await.is_ok() {
        let newest = made.borrow_and_update().clone();
        send_one(&here, newest).await;
        tokio::time::sleep(BETWEEN).await;
        if !made.has_changed().unwrap_or(false) {
            continue;
        }
        let held = made.borrow_and_update().clone();
        // Whoever watches has had its event by now; the next one comes before its own.
        match tokio::time::timeout(BETWEEN, made.changed()).await {
            Ok(_) => made.mark_changed(),
            Err(_) => send_one(&here, held).await,
        }
    }
}

async fn send_one(here: &Here, made: Option<Made>) {
    if let Some(Made { after, png }) = made {
        let most = LARGEST.min(here.client.server_info().max_payload.saturating_sub(BESIDE));
        match here.headers(Some(after)) {
            Some(headers) if png.len() <= most => {
                // One that is lost does no harm.
                let _ = here.client.publish_with_headers(here.subject.clone(), headers, png.to_vec().into()).await;
            }
            _ => tracing::debug!(bytes = png.len(), most, "a preview is too large to be sent to other nodes"),
        }
    }
}

/// Answers whoever asks, and takes in what comes.
async fn follow(here: Here, shown: Shown) {
    loop {
        if let Ok(mut messages) = here.client.subscribe(here.subject.clone()).await {
            while let Some(message) = messages.next().await {
                match about(&message).filter(|about| about.node != here.node) {
                    // What this node makes it shows itself.
                    None => {}
                    Some(About { after: None, .. }) => {
                        if let Some(reply) = message.reply {
                            let _ = here.client.publish(reply, here.node.clone().into()).await;
                        }
                    }
                    Some(About { after: Some(After { stage, done, total }), .. })
                        if message.payload.len() <= LARGEST && message.payload.starts_with(PNG) =>
                    {
                        shown(Progress { stage, done, total }, Arc::from(&message.payload[..]));
                    }
                    Some(_) => {}
                }
            }
        }
        tokio::time::sleep(ASKED).await;
    }
}

fn about(message: &Message) -> Option<About> {
    let header = message.headers.as_ref()?.get(HEADER)?;
    serde_json::from_str(header.as_str()).ok()
}

/// Previews of other nodes come here until it is dropped.
struct Following(AbortHandle);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl PreviewExchange for Cluster {
    fn follow(&self, id: GenerationId, shown: Shown) -> Box<dyn Send + Sync> {
        let (client, subject) = (self.connection.client.clone(), self.connection.names.preview(id));
        let here = Here { client, subject, node: self.node.clone() };
        Box::new(Following(self.connection.spawn(follow(here, shown))))
    }

    fn wanted(&self, id: GenerationId) -> bool {
        self.claims.with(id, |held| held.audience.wanted.load(Ordering::Relaxed)).unwrap_or(false)
    }

    fn show(&self, id: GenerationId, Progress { stage, done, total }: Progress, png: &Arc<[u8]>) {
        let made = Made { after: After { stage, done, total }, png: Arc::clone(png) };
        self.claims.with(id, |held| held.audience.newest.send_replace(Some(made)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_is_stands_in_its_header_and_one_of_another_version_is_none() {
        let asked = About { node: "a".to_owned(), after: None };
        let shown = About { after: Some(After { stage: Stage::Refining, done: 2, total: 8 }), ..asked.clone() };
        for about in [&asked, &shown] {
            let said = serde_json::to_string(about).unwrap();
            assert!(said.is_ascii());
            assert_eq!(serde_json::from_str::<About>(&said).unwrap(), *about);
        }
        let newer = r#"{"node":"a","after":{"stage":"audio","done":1,"total":2}}"#;
        assert!(serde_json::from_str::<About>(newer).is_err());
    }
}
