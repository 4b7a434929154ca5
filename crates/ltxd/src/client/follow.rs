//! Following a generation to its end, over broken connections and restarts of the node.
//!
//! Must not know what is done with the news.

use super::{Node, fault::Fault};
use crate::exit::Code;
use anyhow::Result;
use ltx_proto::v1::{
    GenerationState, GetGenerationRequest, WatchGenerationRequest, generation_event::Event,
    watch_generation_response::News,
};
use std::time::{Duration, Instant};

/// Time between attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// What is followed, and how patiently.
pub(crate) struct Follow {
    pub(crate) id: String,
    /// The last event seen already.
    pub(crate) resume_after: u64,
    /// Whether previews are wanted.
    pub(crate) previews: bool,
    /// For how long a node that is away is tried again.
    pub(crate) patience: Duration,
}

/// How it ended.
pub(crate) enum Ended {
    Done,
    Failed,
    Cancelled,
}

impl Ended {
    /// What `watch` exits with.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Done => Code::Done,
            Self::Failed => Code::GenerationFailed,
            Self::Cancelled => Code::Cancelled,
        }
    }
}

impl Follow {
    /// Gives every event, each once and in order, and every change of place to `on_news`.
    pub(crate) async fn until_it_ends(mut self, node: &Node, mut on_news: impl FnMut(&News)) -> Result<Ended> {
        let mut away_since: Option<Instant> = None;
        loop {
            let before = self.resume_after;
            match self.once(node, &mut on_news).await {
                Ok(Some(ended)) => return Ok(ended),
                // Nothing was left to see, or the node stops.
                Ok(None) => {
                    if let Some(ended) = self.ended(node).await? {
                        return Ok(ended);
                    }
                }
                Err(fault) if !fault.passing => return Err(fault.into()),
                Err(fault) => {
                    if self.resume_after != before {
                        away_since = None;
                    }
                    if away_since.get_or_insert_with(Instant::now).elapsed() >= self.patience {
                        return Err(fault.into());
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// How it ended, if it has.
    async fn ended(&self, node: &Node) -> Result<Option<Ended>, Fault> {
        let request = GetGenerationRequest { id: self.id.clone() };
        let answer = match node.generations().get_generation(request).await.map_err(Fault::from) {
            Ok(answer) => answer.into_inner(),
            Err(fault) if fault.passing => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let generation = answer.generation.ok_or_else(|| Fault::nonsense("generation"))?;
        Ok(match generation.state() {
            GenerationState::Done => Some(Ended::Done),
            GenerationState::Failed => Some(Ended::Failed),
            GenerationState::Cancelled => Some(Ended::Cancelled),
            _ => None,
        })
    }

    async fn once(&mut self, node: &Node, on_news: &mut impl FnMut(&News)) -> Result<Option<Ended>, Fault> {
        let request =
            WatchGenerationRequest { id: self.id.clone(), resume_after: self.resume_after, previews: self.previews };
        let mut stream = node.generations().watch_generation(request).await?.into_inner();
        while let Some(message) = stream.message().await? {
            let Some(news) = message.news else { continue };
            on_news(&news);
            let News::Event(event) = news else { continue };
            self.resume_after = event.number;
            match event.event {
                Some(Event::Done(_)) => return Ok(Some(Ended::Done)),
                Some(Event::Failed(_)) => return Ok(Some(Ended::Failed)),
                Some(Event::Cancelled(_)) => return Ok(Some(Ended::Cancelled)),
                _ => {}
            }
        }
        Ok(None)
    }
}
