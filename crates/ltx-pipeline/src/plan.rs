//! What a request will need, said before it runs: peak memory by stage.
//!
//! Must not know the machine it will run on.

use crate::{Engine, TileSizes, decode::Axis, resident::Part};
use ltx_model::text_encoder::MAX_TOKENS;
use ltx_types::{Generation, LatentShape, PixelShape, Stage, Stages};
use serde::Serialize;

/// One stage's share.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct StageNeed {
    /// The stage.
    pub stage: Stage,
    /// Bytes of the stage's own weights in the compute dtype.
    pub weights: u64,
    /// Bytes of other stages' weights that stay in memory meanwhile.
    pub resident: u64,
    /// Bytes of activations at the worst moment, estimated from the largest layers.
    pub activations: u64,
}

/// What the process needs before any weight: code, FFmpeg, the file's header, the encoder's buffers.
const PROCESS: u64 = 48 << 20;

/// All stages of a request. Stages do not overlap, so the peak is the largest of them.
#[derive(Debug, Clone, Serialize)]
pub struct MemoryPlan {
    /// By stage, in the order they run.
    pub stages: Vec<StageNeed>,
}

impl MemoryPlan {
    /// The largest stage's bytes.
    pub fn peak(&self) -> u64 {
        let stage = |need: &StageNeed| need.weights + need.resident + need.activations;
        self.stages.iter().map(stage).max().unwrap_or(0) + PROCESS
    }
}

impl Engine {
    /// An estimate from shapes alone, for an engine that has run before: what may stay in memory does. Mapped files are not
    /// counted, as the system drops their pages at need.
    pub fn plan(&self, request: &Generation) -> MemoryPlan {
        let bytes = self.options.compute.dtype.size_in_bytes() as u64;
        let weight = |parts: &[Part]| parts.iter().map(|part| self.part_bytes(*part)).sum::<u64>();
        let kept = self.kept_parts();
        let mut stages = Vec::new();
        // `more` are weights of the stage that are no part: they come and go within it.
        let mut need = |stage, parts: &[Part], more: u64, activations| {
            let beside: Vec<_> = kept.iter().copied().filter(|part| !parts.contains(part)).collect();
            stages.push(StageNeed { stage, weights: weight(parts) + more, resident: weight(&beside), activations });
        };

        let gemma = &self.text.config;
        let one_layer = self.text.tensors.memory_bytes(&format!("{}.layers.0.", self.text.prefix), bytes);
        let states = (gemma.states() * gemma.hidden_size * MAX_TOKENS) as u64 * bytes;
        need(Stage::TextEncoding, &[Part::TextEncoder], one_layer, 3 * states);

        let scale = self.ltx.vae.scale();
        let encoder_pixels = (request.pixels.width * request.pixels.height) as u64;
        need(Stage::ImageEncoding, &[Part::VideoEncoder], 0, self.ltx.vae.activation_bytes(encoder_pixels, 1));

        let latent = |pixels: PixelShape| LatentShape::of(pixels, request.frames, scale);
        let denoise = |pixels| self.transformer_activations(latent(pixels), request.images.len()) * bytes;
        // Between two steps a preview may be decoded, with the decoder's weights held beside the transformer's.
        let sample = |pixels| denoise(pixels).max(self.preview_activations(latent(pixels)));
        let first = request.pixels.first_stage(request.stages);
        need(Stage::Denoising, &[Part::Transformer, Part::VideoDecoder], 0, sample(first));
        if request.stages == Stages::Two {
            need(Stage::Upsampling, &[Part::Transformer, Part::VideoDecoder, Part::Upsampler], 0, 0);
            need(Stage::Refining, &[Part::Transformer, Part::VideoDecoder], 0, sample(request.pixels));
        }
        let tile = tile_pixels(&self.options.tiles, request);
        // Beside the tile: the frames it is blended into, and those that wait for the next stretch.
        let blended = 3 * 4 * encoder_pixels * tile.1 * 2;
        let decoding = self.ltx.vae.activation_bytes(tile.0, tile.1) + blended;
        need(Stage::Decoding, &[Part::VideoDecoder], 0, decoding);
        MemoryPlan { stages }
    }

    /// Values alive at once in a block: the residual stream, modulation, q, k, v, and the feed-forward's inner width.
    fn transformer_activations(&self, latent: LatentShape, images: usize) -> u64 {
        let tokens = latent.tokens() + images * latent.frame_tokens();
        (tokens * self.ltx.transformer.inner_dim() * 14) as u64
    }
}

/// Pixels and frames of the largest decoded tile.
fn tile_pixels(tiles: &TileSizes, request: &Generation) -> (u64, u64) {
    let side = |axis: Axis, length: usize| axis.size.min(length) as u64;
    let pixels = side(tiles.width, request.pixels.width) * side(tiles.height, request.pixels.height);
    (pixels, side(tiles.frames, request.frames.get()))
}
