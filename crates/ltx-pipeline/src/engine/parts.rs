//! The parts that an engine loads when a stage needs them, and the places where they stay.
//!
//! Must not know how much room there is; a fit says what stays.

use super::Engine;
use crate::{
    PipelineError, Result,
    opened::T5Files,
    plan::{Fit, Sizes},
    resident::{Place, Slot, kept},
};
use ltx_model::{
    part::Module,
    t5::{T5Config, T5Encoder},
    text_encoder::{Gemma, TextEncoder},
    transformer::Transformer,
    upsampler::Upsampler,
    video_vae::{LatentStatistics, VideoDecoder, VideoEncoder, VideoVaeConfig},
};
use ltx_nn::{Staging, Vb, Weights};
use ltx_types::{Part, SamplingStage};
use ltx_weights::{Adapted, LoraHalf, RandomWeights, Stored, TensorSet, Wear, Worn};
use std::sync::Arc;

/// The places of what is loaded and let go as one thing.
pub(super) struct Parts {
    text_encoder: Slot<TextEncoder>,
    video_encoder: Slot<VideoEncoder>,
    transformer: Slot<Transformer>,
    upsampler: Slot<LatentUpsampling>,
    video_decoder: Slot<VideoDecoder>,
}

/// The upscaler, and the statistics its latents are un-normalised with.
pub(crate) struct LatentUpsampling {
    pub(crate) upsampler: Upsampler,
    pub(crate) statistics: LatentStatistics,
}

/// What stacks are streamed to a GPU through; they stay where parts may.
pub(super) struct StagedStacks {
    gemma: Slot<Staging>,
    connector: Slot<Staging>,
    transformer: Slot<Staging>,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            text_encoder: Slot::of(&TextEncoder::STAYS),
            video_encoder: Slot::of(&[VideoEncoder::PART]),
            transformer: Slot::of(&[Transformer::PART]),
            upsampler: Slot::of(&[Upsampler::PART]),
            video_decoder: Slot::of(&[VideoDecoder::PART]),
        }
    }
}

impl Default for StagedStacks {
    fn default() -> Self {
        Self { gemma: Slot::of(&[]), connector: Slot::of(&[]), transformer: Slot::of(&[]) }
    }
}

impl Parts {
    /// The places, in the order in which a generation fills them.
    fn places(&self) -> [&dyn Place; 5] {
        let Self { text_encoder, video_encoder, transformer, upsampler, video_decoder } = self;
        [text_encoder, video_encoder, transformer, upsampler, video_decoder]
    }
}

impl Engine {
    /// Bytes of weights that stay in memory between generations, once each part was used.
    pub fn resident_bytes(&self) -> u64 {
        let sizes = &self.sizes.larger;
        self.kept_parts(sizes).into_iter().map(|part| sizes.part(part)).sum()
    }

    /// The parts that stay once each was loaded, where there is room.
    pub(crate) fn kept_parts(&self, sizes: &Sizes) -> Vec<Part> {
        kept(self.parts.places(), self.options.resident_bytes, |part| sizes.part(part))
    }

    /// Lets go of what an earlier generation kept and this one has no room for, or no use for as other LoRAs made it.
    pub(crate) fn make_room(&self, fit: &Fit) {
        let leaving = |place: &&dyn Place| !place.parts().iter().all(|part| fit.stays(*part));
        self.parts.places().into_iter().filter(leaving).for_each(Place::clear);
        let worn = |half| SamplingStage::ALL.map(|stage| self.ltx.loras.worn(half, stage, &fit.wear));
        self.parts.text_encoder.keep_worn(&worn(LoraHalf::Text));
        self.parts.transformer.keep_worn(&worn(LoraHalf::Video));
    }

    /// The text encoder, its connector as LoRA files make it in a stage.
    pub(crate) fn text_encoder(&self, fit: &Fit, stage: SamplingStage) -> Result<Arc<TextEncoder>> {
        let stays = TextEncoder::STAYS.into_iter().all(|part| fit.stays(part));
        let worn = self.ltx.loras.worn(LoraHalf::Text, stage, &fit.wear);
        self.parts.text_encoder.get_worn(&worn, stays, || {
            let [for_gemma, _] = self.host_shares();
            let text = self.text.gemma()?;
            let gemma_source = (self.source(&text.tensors), Worn::default());
            let gemma_vb = self.staged(gemma_source, &self.staging.gemma, for_gemma)?;
            let gemma = Gemma::load(&gemma_vb.pp(text.prefix), &text.config)?;
            let vb = self.staged((self.ltx_source(stage, &fit.wear), worn.clone()), &self.staging.connector, 0)?;
            Ok(TextEncoder::open(gemma, &vb, self.architecture().text()?, stays)?)
        })
    }

    /// T5, which is read anew for every encoding.
    pub(crate) fn t5(&self, text: &T5Files) -> Result<T5Encoder> {
        let [for_layers, _] = self.host_shares();
        let vb = self.staged((self.source(&text.tensors), Worn::default()), &self.staging.gemma, for_layers)?;
        let dtype = T5Config::compute_dtype(vb.compute().dtype);
        Ok(T5Encoder::load(&vb.with_dtype(dtype), &text.config)?)
    }

    pub(crate) fn video_encoder(&self, fit: &Fit) -> Result<Arc<VideoEncoder>> {
        self.half_of_the_vae(&self.parts.video_encoder, fit)
    }

    /// What latents are normalised by.
    pub(crate) fn latent_statistics(&self) -> Result<LatentStatistics> {
        Ok(LatentStatistics::load(&self.ltx_vb().pp("vae"), self.architecture().vae.latent_channels)?)
    }

    pub(crate) fn video_decoder(&self, fit: &Fit) -> Result<Arc<VideoDecoder>> {
        self.half_of_the_vae(&self.parts.video_decoder, fit)
    }

    fn half_of_the_vae<M: Module<Config = VideoVaeConfig>>(&self, slot: &Slot<M>, fit: &Fit) -> Result<Arc<M>> {
        slot.get(fit.stays(M::PART), || Ok(M::load(&self.ltx_vb(), &self.architecture().vae)?))
    }

    /// The transformer as LoRA files make it in a stage, its blocks still to be loaded by the first step. One that stays between
    /// generations holds all blocks.
    pub(crate) fn transformer(&self, fit: &Fit, stage: SamplingStage) -> Result<Arc<Transformer>> {
        let worn = self.ltx.loras.worn(LoraHalf::Video, stage, &fit.wear);
        self.parts.transformer.get_worn(&worn, fit.stays(Transformer::PART), || {
            let [_, for_blocks] = self.host_shares();
            let source = (self.ltx_source(stage, &fit.wear), worn.clone());
            let vb = self.staged(source, &self.staging.transformer, for_blocks)?;
            Ok(Transformer::open(&vb, &self.architecture().transformer, fit.held)?)
        })
    }

    /// Whether LoRA files make another half of the model in the second stage than in the first.
    pub(crate) fn is_dressed_anew(&self, half: LoraHalf, wear: &Wear) -> bool {
        let [first, second] = SamplingStage::ALL.map(|stage| self.ltx.loras.worn(half, stage, wear));
        first != second
    }

    /// The upscaler with the checkpoint's statistics.
    pub(crate) fn upsampler(&self, fit: &Fit) -> Result<Arc<LatentUpsampling>> {
        let file = self.upscaler.as_ref().ok_or(PipelineError::NoUpscaler)?;
        self.parts.upsampler.get(fit.stays(Upsampler::PART), || {
            let upsampler = Upsampler::load(&self.vb(&file.tensors), &file.config)?;
            let vae = self.ltx_vb().pp("vae");
            let statistics = LatentStatistics::load(&vae, self.architecture().vae.latent_channels)?;
            Ok(LatentUpsampling { upsampler, statistics })
        })
    }

    /// Host memory that may be page-locked for the language model, which is used once in a generation, and for the blocks,
    /// which are used in every step and come first. The language model's is worth locking only where it stays for the next
    /// generation.
    fn host_shares(&self) -> [u64; 2] {
        let blocks = self.options.host_bytes.min(self.sizes.larger.blocks);
        let gemma = if self.options.resident_bytes > 0 { self.options.host_bytes - blocks } else { 0 };
        [gemma.min(self.sizes.larger.gemma), blocks]
    }

    /// A source whose streamed layers reach a GPU through page-locked memory; on the CPU as it is.
    fn staged(&self, (source, worn): (Arc<dyn Weights>, Worn), slot: &Slot<Staging>, host_bytes: u64) -> Result<Vb> {
        let compute = &self.options.compute;
        let vb = Vb::new(Arc::clone(&source), compute.clone());
        match (self.carrier)(&compute.device)? {
            Some(carrier) => {
                let stays = self.options.resident_bytes > 0;
                let staging = slot.get_worn(&worn, stays, || Ok(Staging::new(source, carrier, host_bytes)));
                Ok(vb.with_staging(staging?))
            }
            None => Ok(vb),
        }
    }

    fn ltx_vb(&self) -> Vb {
        // Of the autoencoder, whose convolutions no LoRA changes.
        Vb::new(self.source(&self.ltx.tensors), self.options.compute.clone())
    }

    /// The checkpoint's weights, with what the LoRA files add to them in a stage.
    fn ltx_source(&self, stage: SamplingStage, wear: &Wear) -> Arc<dyn Weights> {
        let source = self.source(&self.ltx.tensors);
        match self.ltx.loras.is_empty() {
            true => source,
            false => Arc::new(Adapted { base: source, loras: Arc::clone(&self.ltx.loras), stage, wear: wear.clone() }),
        }
    }

    fn vb(&self, tensors: &Arc<TensorSet>) -> Vb {
        Vb::new(self.source(tensors), self.options.compute.clone())
    }

    fn source(&self, tensors: &Arc<TensorSet>) -> Arc<dyn Weights> {
        match self.options.random_weights {
            true => Arc::new(RandomWeights(Arc::clone(tensors))),
            false => Arc::new(Stored(Arc::clone(tensors))),
        }
    }
}
