//! What every stage of a request needs, from shapes and sizes.
//!
//! Must not know budgets.

use super::{Fit, PlanShape, sizes::streamed};
use crate::{Engine, resident::Part};
use ltx_engine::{StageNeed, TileSizes};
use ltx_model::{text_encoder::MAX_TOKENS, video_vae::ClipShape};
use ltx_types::{LatentShape, PixelShape, Stage, Stages};

/// What the process needs before any weight: code, FFmpeg, headers of files.
const PROCESS: u64 = 48 << 20;
/// What the allocator keeps, at most, of the buffers that blocks were read through: 63 to 71 MiB were measured, whatever the
/// clip's size.
const READING: u64 = 64 << 20;
/// What the video encoder holds of every pixel of a frame: the frames it looks ahead at, and references.
const ENCODER_BYTES_PER_PIXEL: u64 = 100;

/// What one moment of a stage holds.
#[derive(Clone, Copy)]
struct Moment {
    weights: u64,
    activations: u64,
}

impl Engine {
    /// Stage by stage, in the order they run.
    pub(super) fn needs(&self, shape: &PlanShape, fit: &Fit) -> Vec<StageNeed> {
        let part = |part: Part| self.sizes.part(part);
        let scale = self.ltx.vae.scale();
        let latent = |pixels: PixelShape| LatentShape::of(pixels, shape.frames, scale);
        let mut stages = Vec::new();
        let mut need = |stage, parts: &[Part], moment: Moment| {
            let beside = fit.kept.iter().filter(|part| !parts.contains(part)).map(|kept| part(*kept)).sum();
            let Moment { weights, activations } = moment;
            stages.push(StageNeed { stage, weights, resident: beside, activations });
        };

        need(Stage::TextEncoding, &[Part::TextEncoder], self.text_moment(shape, fit));
        let image = ClipShape { frames: 1, height: shape.pixels.height as u64, width: shape.pixels.width as u64 };
        let activations = self.encoder_activations(image);
        need(Stage::ImageEncoding, &[Part::VideoEncoder], Moment { weights: part(Part::VideoEncoder), activations });

        let transformer = self.sizes.transformer(fit.held, self.ltx.transformer.num_layers);
        // Between two steps a preview may be decoded, with the decoder's weights held beside the transformer's.
        let (decoder, sampling) = match fit.previews {
            true => (part(Part::VideoDecoder), &[Part::Transformer, Part::VideoDecoder][..]),
            false => (0, &[Part::Transformer][..]),
        };
        let sample = |pixels| {
            let step = self.step_bytes(latent(pixels), shape);
            let preview = if fit.previews { self.preview_activations(latent(pixels)) } else { 0 };
            let kept = if self.gpu { 0 } else { READING.min(self.sizes.blocks) };
            Moment { weights: transformer + decoder, activations: step.max(preview) + kept }
        };
        need(Stage::Denoising, sampling, sample(shape.pixels.first_stage(shape.stages)));
        if shape.stages == Stages::Two {
            let weights = transformer + decoder + part(Part::Upsampler);
            let parts = [sampling, &[Part::Upsampler]].concat();
            let activations = self.upsampling_bytes(latent(shape.pixels));
            need(Stage::Upsampling, &parts, Moment { weights, activations });
            need(Stage::Refining, sampling, sample(shape.pixels));
        }
        let activations = self.decoding_bytes(latent(shape.pixels), shape, &fit.tiles);
        need(Stage::Decoding, &[Part::VideoDecoder], Moment { weights: part(Part::VideoDecoder), activations });
        stages
    }

    /// The process without weights and activations.
    pub(super) fn process_bytes(&self, shape: &PlanShape) -> u64 {
        if self.gpu {
            return self.gpu_process_bytes();
        }
        PROCESS + ENCODER_BYTES_PER_PIXEL * (shape.pixels.width * shape.pixels.height) as u64
    }

    /// The worst moment of the text encoding: in the language model, in the projection, or in the connector.
    fn text_moment(&self, shape: &PlanShape, fit: &Fit) -> Moment {
        let value = self.value_bytes();
        let gemma = &self.text.config;
        let states = |tokens: usize| (gemma.states() * gemma.hidden_size * tokens) as u64 * value;
        let (all, most) =
            shape.prompts.iter().fold((0, 0), |(sum, most), tokens| (sum + states(*tokens), most.max(states(*tokens))));
        let connector = &self.ltx.transformer;
        let slots = (MAX_TOKENS * connector.connector_dim()) as u64 * value;
        let layer = |tokens: &usize| self.text_layer_bytes_on_gpu(*tokens);
        let layer = if self.gpu { shape.prompts.iter().map(layer).max().unwrap_or(0) } else { 0 };
        let stays = fit.stays(Part::TextEncoder);
        let kept = if stays { self.sizes.part(Part::TextEncoder) } else { 0 };
        let or_kept = |weights| if stays { kept } else { weights };
        let moments = [
            Moment {
                weights: kept + streamed(self.sizes.gemma_layer, gemma.num_hidden_layers),
                activations: all + layer,
            },
            // The states as they are, side by side, and rescaled.
            Moment { weights: or_kept(self.sizes.projection), activations: all + 2 * most },
            Moment {
                weights: or_kept(streamed(self.sizes.connector_block, connector.connector_num_layers)),
                activations: slots * (shape.prompts.len() as u64 + 11),
            },
        ];
        moments.into_iter().max_by_key(|moment| moment.weights + moment.activations).unwrap_or(moments[0])
    }

    /// Bytes alive at once in a step: the residual stream and the rotations, beside the larger of the attentions and the
    /// feed-forward.
    fn step_bytes(&self, latent: LatentShape, shape: &PlanShape) -> u64 {
        if self.gpu {
            return self.step_bytes_on_gpu(latent, shape);
        }
        let tokens = (latent.tokens() + shape.images * latent.frame_tokens()) as u64;
        let context = MAX_TOKENS as u64;
        // Rotations and stream.
        let around = 2 * tokens;
        // The block's input normalised; queries, keys, values, the last two once more in panels; the output.
        let itself = 7 * tokens;
        // Of the context: modulated, keys, values, both once more.
        let cross = 4 * tokens + 5 * context;
        // The input normalised, four times its width inside, the output.
        let feed_forward = 6 * tokens;
        let values = around + itself.max(cross).max(feed_forward) + context * shape.prompts.len() as u64;
        values * self.ltx.transformer.inner_dim() as u64 * self.value_bytes()
    }

    /// Decoding the largest tile, beside the frames it is blended into and those that wait for the next stretch.
    pub(super) fn decoding_bytes(&self, latent: LatentShape, shape: &PlanShape, tiles: &TileSizes) -> u64 {
        if self.gpu {
            return self.decoding_bytes_on_gpu(latent, shape, tiles);
        }
        let scale = self.ltx.vae.scale();
        let rows = [(tiles.height, scale.height, latent.height), (tiles.width, scale.width, latent.width)];
        let [height, width] = rows.map(|(axis, scale, length)| (axis.size / scale).min(length) as u64);
        let frames = shape.frames.get().min(tiles.frames.size);
        let clip = ClipShape { frames: (frames.div_ceil(scale.time)).min(latent.frames) as u64, height, width };
        let waiting = if frames < shape.frames.get() { tiles.frames.overlap } else { 0 };
        let blended = 3 * 4 * ((frames + waiting) * shape.pixels.width * shape.pixels.height) as u64;
        self.decoder_activations(clip) + blended
    }

    /// Activations of the decoder for a latent of this shape.
    pub(crate) fn decoder_activations(&self, latent: ClipShape) -> u64 {
        let (vae, dtype) = (&self.ltx.vae, self.options.compute.dtype);
        let bytes = if self.gpu { vae.decoder_bytes_on_gpu(latent, dtype) } else { vae.decoder_bytes(latent) };
        bytes.unwrap_or(0)
    }

    /// Activations of the encoder for pixels of this shape.
    fn encoder_activations(&self, pixels: ClipShape) -> u64 {
        let (vae, dtype) = (&self.ltx.vae, self.options.compute.dtype);
        let bytes = if self.gpu { vae.encoder_bytes_on_gpu(pixels, dtype) } else { vae.encoder_bytes(pixels) };
        bytes.unwrap_or(0)
    }

    pub(super) fn latent_of(&self, shape: &PlanShape) -> LatentShape {
        LatentShape::of(shape.pixels, shape.frames, self.ltx.vae.scale())
    }

    pub(super) fn latent_dims(&self, shape: &PlanShape) -> [usize; 3] {
        let LatentShape { frames, height, width } = self.latent_of(shape);
        [frames, height, width]
    }

    pub(super) fn value_bytes(&self) -> u64 {
        self.options.compute.dtype.size_in_bytes() as u64
    }
}
