//! What is told of every event once it is in the database, and to whom.
//!
//! Must not know the database, nor what a listener makes of the news.

use crate::{ClientId, Event, Finished, GenerationId, trace::Traced};
use parking_lot::RwLock;
use std::sync::Arc;

/// An event of a generation, just written.
#[derive(Debug)]
pub struct News<'a> {
    /// The generation it happened to.
    pub generation: GenerationId,
    /// The client whose generation it is.
    pub client: ClientId,
    /// The event itself.
    pub event: Arc<Event>,
    /// What came of the generation, in the event that says it is done.
    pub outcome: Option<&'a Finished>,
    /// What a tracer is told beside it; only of a generation that is traced.
    pub traced: Option<Traced>,
}

/// Hears of every event once, in the order in which they were written, and nothing else is written meanwhile: it must be quick
/// and must not ask the jobs.
pub type Listener = Box<dyn Fn(&News<'_>) + Send + Sync>;

/// Everybody who hears of every event.
#[derive(Default)]
pub struct Listeners(RwLock<Vec<Listener>>);

impl Listeners {
    /// Tells one more from now on.
    pub fn add(&self, listener: Listener) {
        self.0.write().push(listener);
    }

    /// Tells everybody.
    pub fn tell(&self, news: &News<'_>) {
        self.0.read().iter().for_each(|listener| listener(news));
    }
}
