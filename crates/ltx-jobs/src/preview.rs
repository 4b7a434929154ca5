//! Previews of the generation on the device: made while somebody watches for them, and only the latest kept, in memory.
//!
//! Must not know who watches, nor write anything to the disk: a preview is no output.

use crate::{Event, EventKind, GenerationId};
use ltx_engine::{Preview, PreviewSink};
use ltx_media::encode_preview;
use ltx_policy::PreviewLabel;
use ltx_types::Progress;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// Who wants previews, and the latest one.
#[derive(Default)]
pub(crate) struct Previews(Mutex<Board>);

#[derive(Default)]
struct Board {
    /// Watchers that want previews, by generation.
    wanted: HashMap<GenerationId, usize>,
    latest: Option<Latest>,
}

struct Latest {
    of: GenerationId,
    after: Progress,
    png: Arc<[u8]>,
}

/// A wish for previews of one generation, until it is dropped.
pub struct PreviewWatch {
    previews: Arc<Previews>,
    id: GenerationId,
}

impl PreviewWatch {
    pub(crate) fn new(previews: &Arc<Previews>, id: GenerationId) -> Self {
        *previews.0.lock().wanted.entry(id).or_default() += 1;
        Self { previews: Arc::clone(previews), id }
    }

    /// The picture (PNG, labelled as a preview) that belongs to a progress event, if one was made and is still the latest.
    pub fn of(&self, event: &Event) -> Option<Arc<[u8]>> {
        let EventKind::Progress { stage, done, total, .. } = event.kind else { return None };
        let board = self.previews.0.lock();
        let latest = board.latest.as_ref().filter(|latest| latest.of == self.id)?;
        (latest.after == Progress { stage, done, total }).then(|| Arc::clone(&latest.png))
    }
}

impl Drop for PreviewWatch {
    fn drop(&mut self) {
        let mut board = self.previews.0.lock();
        if let Some(count) = board.wanted.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                board.wanted.remove(&self.id);
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
        self.previews.0.lock().wanted.contains_key(&self.id)
    }

    fn show(&self, preview: Preview) {
        let Preview { after, pixels, rgb } = preview;
        // One that cannot be encoded is left out, as one that cannot be made.
        if let Ok(png) = encode_preview(&rgb, pixels, &self.label) {
            self.previews.0.lock().latest = Some(Latest { of: self.id, after, png: png.into() });
        }
    }
}

impl Drop for RunPreviews {
    fn drop(&mut self) {
        self.previews.0.lock().latest.take_if(|latest| latest.of == self.id);
    }
}
