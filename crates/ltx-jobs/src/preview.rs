//! Previews of generations that run, here or at another node: made while somebody watches for them, and only the latest of each kept, in memory.
//!
//! Must not know who watches, nor write anything to the disk: a preview is no output.

use crate::{Event, EventKind, GenerationId, ports::PreviewExchange};
use ltx_engine::{Preview, PreviewSink};
use ltx_media::encode_preview;
use ltx_policy::PreviewLabel;
use ltx_types::Progress;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

/// Who wants previews, and the latest ones.
pub(crate) struct Previews {
    wishes: Mutex<HashMap<GenerationId, Wish>>,
    others: Arc<dyn PreviewExchange>,
}

/// What is known of a generation of which previews are wanted here.
struct Wish {
    watchers: usize,
    latest: Option<Latest>,
    /// Has those of other nodes come here.
    _following: Box<dyn Send + Sync>,
}

struct Latest {
    after: Progress,
    png: Arc<[u8]>,
}

impl Previews {
    pub(crate) fn new(others: Arc<dyn PreviewExchange>) -> Self {
        Self { wishes: Mutex::default(), others }
    }

    fn is_wanted(&self, id: GenerationId) -> bool {
        self.wishes.lock().contains_key(&id) || self.others.wanted(id)
    }

    /// Keeps a preview if somebody here wants it.
    fn take(&self, id: GenerationId, after: Progress, png: Arc<[u8]>) {
        if let Some(wish) = self.wishes.lock().get_mut(&id) {
            wish.latest = Some(Latest { after, png });
        }
    }
}

/// A wish for previews of one generation, until it is dropped.
pub struct PreviewWatch {
    previews: Arc<Previews>,
    id: GenerationId,
}

impl PreviewWatch {
    pub(crate) fn new(previews: &Arc<Previews>, id: GenerationId) -> Self {
        let wish = || {
            let here: Weak<Previews> = Arc::downgrade(previews);
            let shown = move |after, png| {
                if let Some(here) = here.upgrade() {
                    here.take(id, after, png);
                }
            };
            let _following = previews.others.follow(id, Box::new(shown));
            Wish { watchers: 0, latest: None, _following }
        };
        previews.wishes.lock().entry(id).or_insert_with(wish).watchers += 1;
        Self { previews: Arc::clone(previews), id }
    }

    /// The picture (PNG, labelled as a preview) that belongs to a progress event, if one was made and is still the latest.
    pub fn of(&self, event: &Event) -> Option<Arc<[u8]>> {
        let EventKind::Progress { stage, done, total, .. } = event.kind else { return None };
        let wishes = self.previews.wishes.lock();
        let latest = wishes.get(&self.id)?.latest.as_ref()?;
        (latest.after == Progress { stage, done, total }).then(|| Arc::clone(&latest.png))
    }
}

impl Drop for PreviewWatch {
    fn drop(&mut self) {
        let mut wishes = self.previews.wishes.lock();
        if let Some(wish) = wishes.get_mut(&self.id) {
            wish.watchers -= 1;
            if wish.watchers == 0 {
                wishes.remove(&self.id);
            }
        }
    }
}

impl std::fmt::Debug for PreviewWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreviewWatch").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Where a running generation's previews go. Dropped when the run ends, it takes the latest with it.
pub(crate) struct RunPreviews {
    pub(crate) previews: Arc<Previews>,
    pub(crate) id: GenerationId,
    pub(crate) label: PreviewLabel,
}

impl PreviewSink for RunPreviews {
    fn wanted(&self) -> bool {
        self.previews.is_wanted(self.id)
    }

    fn show(&self, preview: Preview) {
        let Preview { after, pixels, rgb } = preview;
        // One that cannot be encoded is left out, as one that cannot be made.
        if let Ok(png) = encode_preview(&rgb, pixels, &self.label) {
            let png: Arc<[u8]> = png.into();
            if self.previews.others.wanted(self.id) {
                self.previews.others.show(self.id, after, &png);
            }
            self.previews.take(self.id, after, png);
        }
    }
}

impl Drop for RunPreviews {
    fn drop(&mut self) {
        if let Some(wish) = self.previews.wishes.lock().get_mut(&self.id) {
            wish.latest = None;
        }
    }
}
