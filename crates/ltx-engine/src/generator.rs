//! The contract between whoever makes frames and whoever wants them.
//!
//! Must not know how frames are made, or where they are kept.

use crate::{Cache, EngineError, LatentStore, NoCache, NoPreviews, NotSaved, PreviewSink};
use ltx_media::FrameWriter;
use ltx_policy::Admitted;
use ltx_types::{CancelToken, Generation, NoProgress, ProgressSink, Stage};
use serde::Serialize;

/// Turns an admitted generation into frames.
pub trait Generator {
    /// Generates, writing every frame to all of `writers`, which are not finished here.
    ///
    /// # Errors
    /// Cancelled, a field that does not fit the model, or a failure on the way. Nothing is kept.
    fn generate(
        &mut self,
        request: &Admitted<Generation>,
        writers: &mut [Box<dyn FrameWriter>],
        run: &Run<'_>,
    ) -> Result<Outcome, EngineError>;
}

/// How one run reports and how it is stopped.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// Receives progress.
    pub progress: &'a dyn ProgressSink,
    /// Looked at in every step and tile.
    pub cancel: &'a CancelToken,
    /// Keeps the latent after every step.
    pub store: &'a dyn LatentStore,
    /// Receives pictures of the clip in the making, while it wants any.
    pub previews: &'a dyn PreviewSink,
    /// Keeps what other runs need as well.
    pub cache: &'a dyn Cache,
}

impl<'a> Run<'a> {
    /// A run that can be cancelled, of which nothing is reported, saved, shown or kept.
    pub fn quiet(cancel: &'a CancelToken) -> Self {
        Self { progress: &NoProgress, cancel, store: &NotSaved, previews: &NoPreviews, cache: &NoCache }
    }
}

/// Seconds spent in a stage, loading its weights included.
#[derive(Debug, Clone, Serialize)]
pub struct StageSeconds {
    /// The stage.
    pub stage: Stage,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// Where what a run encodes, the contexts of its prompts or the latents of its images, came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Encodings {
    /// Taken from the cache.
    pub cached: usize,
    /// Computed by the encoder, which is not loaded where there are none.
    pub encoded: usize,
}

impl Encodings {
    /// The part of the encoding that was not spared: 0 to 1.
    pub fn share(self) -> f64 {
        match self.cached + self.encoded {
            0 => 1.0,
            all => self.encoded as f64 / all as f64,
        }
    }
}

/// What a finished generation yields beside its frames.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Frames written.
    pub frames: usize,
    /// Wall-clock seconds by stage.
    pub seconds: Vec<StageSeconds>,
    /// Where the contexts of its prompts came from.
    pub contexts: Encodings,
    /// Where the latents of its images, at every stage's size, came from.
    pub images: Encodings,
    /// SHA-256 of the final latent: f32, little-endian, `[C, F, H, W]`.
    pub latent_sha256: String,
    /// SHA-256 of the frames: RGB8, in order.
    pub frames_sha256: String,
}
