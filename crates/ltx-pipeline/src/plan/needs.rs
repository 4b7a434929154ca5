//! What every stage of a request needs, from shapes and sizes.
//!
//! Must not know budgets.

use super::{Fit, PlanShape, Sizes, StageSizes, process::waiting_bytes};
use crate::{Engine, decode::DecodedClip, opened::TextFiles};
use ltx_engine::{StageNeed, TileSizes};
use ltx_media::Mp4Writer;
use ltx_model::{
    footprint::{Placement, reading_bytes, streamed_bytes},
    part::Module,
    t5::T5_TOKENS,
    text_encoder::TextEncoder,
    transformer::{StepShape, Transformer},
    upsampler::Upsampler,
    video_vae::{ClipShape, VideoDecoder, VideoEncoder},
};
use ltx_types::{LatentShape, Part, PixelShape, Stage, Stages};

/// What one moment of a stage holds.
#[derive(Clone, Copy)]
struct Moment {
    weights: u64,
    activations: u64,
}

impl Engine {
    /// Stage by stage, in the order they run.
    pub(super) fn needs(&self, shape: &PlanShape, fit: &Fit, sizes: &StageSizes) -> Vec<StageNeed> {
        let (architecture, placement) = (self.architecture(), self.placement);
        let StageSizes { larger, first, second } = sizes;
        let part = |part: Part| larger.part(part);
        let mut stages = Vec::new();
        let mut need = |stage, parts: &[Part], moment: Moment| {
            let beside = fit.kept.iter().filter(|part| !parts.contains(part)).map(|kept| part(*kept)).sum();
            let Moment { weights, activations } = moment;
            stages.push(StageNeed { stage, weights, resident: beside, activations });
        };

        if shape.encodes {
            let of_text = if shape.stages == Stages::Two { larger } else { first };
            need(Stage::TextEncoding, &TextEncoder::STAYS, self.text_moment(shape, fit, of_text));
        }
        let image = ClipShape { frames: 1, height: shape.pixels.height as u64, width: shape.pixels.width as u64 };
        let activations = architecture.vae.encoder_bytes(image, placement).unwrap_or(0);
        let weights = part(VideoEncoder::PART);
        need(Stage::ImageEncoding, &[VideoEncoder::PART], Moment { weights, activations });

        let transformer = |sizes: &Sizes| sizes.transformer(fit.held, architecture.transformer.num_layers);
        // Between two steps a preview may be decoded, with the decoder's weights held beside the transformer's.
        let (decoder, sampling) = match fit.previews {
            true => (part(VideoDecoder::PART), &[Transformer::PART, VideoDecoder::PART][..]),
            false => (0, &[Transformer::PART][..]),
        };
        let sample = |pixels, sizes: &Sizes| {
            let latent = self.latent_of(pixels, shape);
            let tokens = (latent.tokens() + shape.images * latent.frame_tokens()) as u64;
            let step = StepShape { tokens, prompts: shape.prompts.len() as u64 };
            let step = architecture.transformer.step_bytes(step, placement);
            let preview = if fit.previews { self.preview_activations(latent) } else { 0 };
            let activations = step.max(preview) + reading_bytes(sizes.blocks, placement);
            Moment { weights: transformer(sizes) + decoder, activations }
        };
        need(Stage::Denoising, sampling, sample(shape.pixels.first_stage(shape.stages), first));
        if shape.stages == Stages::Two {
            let weights = transformer(first) + decoder + part(Upsampler::PART);
            let parts = [sampling, &[Upsampler::PART]].concat();
            let elements = self.latent_of(shape.pixels, shape).tokens() as u64;
            let activations = self.upscaler_config().map_or(0, |upscaler| upscaler.bytes(elements, placement));
            need(Stage::Upsampling, &parts, Moment { weights, activations });
            need(Stage::Refining, sampling, sample(shape.pixels, second));
        }
        let decoding = self.decoding_bytes(shape, &fit.tiles);
        let activations = decoding + self.writing_bytes(shape, decoding);
        let weights = part(VideoDecoder::PART);
        need(Stage::Decoding, &[VideoDecoder::PART], Moment { weights, activations });
        stages
    }

    /// The worst moment of the text encoding: in the language model, in the projection, or in the connector.
    fn text_moment(&self, shape: &PlanShape, fit: &Fit, sizes: &Sizes) -> Moment {
        let placement = self.placement;
        let gemma = match &self.text {
            TextFiles::Gemma(text) => &text.config,
            TextFiles::T5(text) => {
                let prompts: Vec<usize> = shape.prompts.iter().map(|tokens| (*tokens).min(T5_TOKENS)).collect();
                let placement = Placement { dtype: self.text.compute_dtype(placement.dtype), ..placement };
                let weights = streamed_bytes(sizes.gemma_layer, text.config.num_layers);
                let activations =
                    text.config.activation_bytes(&prompts, placement) + reading_bytes(sizes.gemma, placement);
                return Moment { weights, activations };
            }
        };
        let connector = self.architecture().text.as_ref().map(|text| &text.connector);
        let states = || shape.prompts.iter().map(|tokens| gemma.states_bytes(*tokens, placement));
        let (all, most) = (states().sum::<u64>(), states().max().unwrap_or(0));
        let layer = shape.prompts.iter().map(|tokens| gemma.layer_bytes(*tokens, placement)).max().unwrap_or(0);
        let stays = TextEncoder::STAYS.into_iter().all(|part| fit.stays(part));
        let kept = if stays { TextEncoder::STAYS.into_iter().map(|part| sizes.part(part)).sum() } else { 0 };
        let or_kept = |weights| if stays { kept } else { weights };
        let moments = [
            Moment {
                weights: kept + streamed_bytes(sizes.gemma_layer, gemma.num_hidden_layers),
                activations: all + layer,
            },
            // The states as they are, side by side, and rescaled.
            Moment { weights: or_kept(sizes.part(Part::TextProjection)), activations: all + 2 * most },
            Moment {
                weights: or_kept(connector.map_or(0, |it| streamed_bytes(sizes.connector_block, it.layers))),
                activations: connector.map_or(0, |it| it.activation_bytes(shape.prompts.len(), placement)),
            },
        ];
        moments.into_iter().max_by_key(|moment| moment.weights + moment.activations).unwrap_or(moments[0])
    }

    /// Decoding the clip in such tiles, beside the decoder's weights.
    pub(super) fn decoding_bytes(&self, shape: &PlanShape, tiles: &TileSizes) -> u64 {
        let clip = DecodedClip { pixels: shape.pixels, frames: shape.frames };
        clip.bytes(&self.architecture().vae, tiles, self.placement)
    }

    /// Encoding the frames as they are decoded. It takes the machine's memory, also where the engine computes on a GPU.
    /// So do the blocks that decoding has freed by then, in part.
    fn writing_bytes(&self, shape: &PlanShape, decoding: u64) -> u64 {
        if self.placement.is_gpu() {
            return 0;
        }
        Mp4Writer::memory_bytes(shape.pixels, shape.frames.get()) + waiting_bytes(decoding)
    }

    /// The latent of the clip at a stage's size.
    pub(super) fn latent_of(&self, pixels: PixelShape, shape: &PlanShape) -> LatentShape {
        LatentShape::of(pixels, shape.frames, self.architecture().vae.scale())
    }
}
