//! A generation of a node alone as the document that a service keeps of it.
//!
//! Must not know where either is kept.

use super::{Document, DocumentImage, VERSION};
use crate::{GenerationRecord, Result, clock::Now, lifecycle::Happening};
use serde_json::Map;

/// What a node alone keeps of a generation beside its record.
pub(crate) struct Beside {
    pub(crate) body_sha256: String,
    pub(crate) reached: u64,
    pub(crate) fruitless: u32,
    pub(crate) ended_age_ms: Option<i64>,
    pub(crate) output_bytes: u64,
    pub(crate) images: Vec<DocumentImage>,
}

impl Document {
    /// The document of a record whose events are all in the log. Its place among all generations is the one that it is stored at.
    pub(crate) fn moved(record: GenerationRecord, beside: Beside) -> Self {
        let Beside { body_sha256, reached, fruitless, ended_age_ms, output_bytes, images } = beside;
        Self {
            version: VERSION,
            id: record.id,
            client: record.client,
            request_id: record.request_id,
            body_sha256,
            batch: record.batch,
            request: record.request,
            images,
            method: record.method,
            model: record.model,
            predicted: record.predicted,
            state: record.state,
            cancel_requested: record.cancel_requested,
            attempts: record.attempts,
            reached,
            fruitless,
            events: record.last_event,
            told: Vec::new(),
            created_ms: record.created_ms,
            started_ms: record.started_ms,
            ended_ms: record.ended_ms,
            ended_age_ms,
            failure: record.failure,
            outcome: record.outcome,
            output_bytes,
            sequence: None,
            worker: String::new(),
            work: 0,
            stamp: String::new(),
            trace: record.trace,
            faults: record.faults,
            begun: None,
            others: Map::new(),
        }
    }

    /// The same, taken up again if it ran: its node died, or was killed, under it.
    ///
    /// # Errors
    /// None that the table of states has.
    pub(crate) fn taken_up(self, reached: u64, max_fruitless: u32, now: Now) -> Result<Self> {
        match self.state {
            crate::State::Running => {
                let found = Happening::Recover { reached, max_fruitless };
                Ok(self.after(found, now)?.unwrap_or(self))
            }
            _ => Ok(self),
        }
    }

    /// The place of the first of its request among those that it asked for, where these were several.
    pub fn request_of(&self) -> crate::GenerationId {
        self.batch.map_or(self.id, |batch| batch.id)
    }
}
