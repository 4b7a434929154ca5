//! The contract between whoever makes frames and whoever wants them.
//!
//! Must not know how frames are made, or where they are kept.

use crate::{EngineError, LatentStore, PreviewSink};
use ltx_media::FrameWriter;
use ltx_policy::Admitted;
use ltx_types::{CancelToken, Generation, ProgressSink, Stage};
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
}

/// Seconds spent in a stage, loading its weights included.
#[derive(Debug, Clone, Serialize)]
pub struct StageSeconds {
    /// The stage.
    pub stage: Stage,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// What a finished generation yields beside its frames.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Frames written.
    pub frames: usize,
    /// Wall-clock seconds by stage.
    pub seconds: Vec<StageSeconds>,
    /// SHA-256 of the final latent: f32, little-endian, `[C, F, H, W]`.
    pub latent_sha256: String,
    /// SHA-256 of the frames: RGB8, in order.
    pub frames_sha256: String,
}
