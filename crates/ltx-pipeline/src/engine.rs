//! The engine: a model's files opened and accounted for, and its parts loaded when a stage needs them.
//!
//! Must not know requests. A part lives as long as its stage, or longer where the budget for resident weights allows; the
//! files stay mapped.

use crate::{
    PipelineError, Result,
    inspect::{LtxFile, TextFolder, UpscalerFile},
    plan::{Fit, Sizes},
    resident::{Clear, Part, Slot},
};
use candle_core::Device;
use ltx_engine::{MemoryBudget, TileSizes};
use ltx_model::{
    text_encoder::{Gemma, PromptTokenizer, TextEncoder},
    transformer::Transformer,
    upsampler::{Upsampler, UpsamplerConfig},
    video_vae::{LatentStatistics, VideoDecoder, VideoEncoder},
};
use ltx_nn::{Carrier, Compute, Staging, Vb, Weights, carrier};
use ltx_types::ModelFiles;
use ltx_weights::{Adapted, LoadReport, RandomWeights, Stored, TensorSet};
use std::sync::Arc;

/// How the engine computes.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Device and dtype.
    pub compute: Compute,
    /// Tiles of the decoder. Without them: the official ones, on a GPU as large ones as `memory` holds.
    pub tiles: Option<TileSizes>,
    /// Bytes of weights that may stay in memory between generations; 0 loads every part when its stage begins.
    pub resident_bytes: u64,
    /// What the process may take at its peak, of the machine's memory or of the GPU's. Where a request needs more, blocks of
    /// the transformer are streamed; without a budget nothing is.
    pub memory: Option<MemoryBudget>,
    /// Bytes of the machine's memory that may be page-locked for weights that stream to a GPU. What has no room there is read
    /// from the files in every pass.
    pub host_bytes: u64,
    /// Whether plans leave room for previews. Without it none are made.
    pub previews: bool,
    /// Takes shapes from the files and draws the values, for measurements at sizes whose weights are not here.
    pub random_weights: bool,
}

impl Default for EngineOptions {
    /// f32 on the CPU.
    fn default() -> Self {
        Self {
            compute: Compute::cpu_f32(),
            tiles: None,
            resident_bytes: 0,
            memory: None,
            host_bytes: 0,
            previews: true,
            random_weights: false,
        }
    }
}

/// A model, ready to run.
pub struct Engine {
    pub(crate) ltx: LtxFile,
    pub(crate) text: TextFolder,
    upscaler: Option<UpscalerFile>,
    tokenizer: PromptTokenizer,
    reports: Vec<LoadReport>,
    pub(crate) sizes: Sizes,
    parts: Parts,
    staging: StagedStacks,
    /// What streamed layers reach the device by.
    carrier: CarrierOf,
    /// Whether parts lie in a GPU's memory.
    pub(crate) gpu: bool,
    pub(crate) options: EngineOptions,
}

/// What carries weights to a device, if they have to be carried.
type CarrierOf = fn(&Device) -> ltx_nn::Result<Option<Box<dyn Carrier>>>;

/// The parts that may stay.
#[derive(Default)]
struct Parts {
    text_encoder: Slot<TextEncoder>,
    video_encoder: Slot<VideoEncoder>,
    transformer: Slot<Transformer>,
    upsampler: Slot<(Upsampler, LatentStatistics)>,
    video_decoder: Slot<VideoDecoder>,
}

/// What stacks are streamed to a GPU through; they stay where parts may.
#[derive(Default)]
struct StagedStacks {
    gemma: Slot<Staging>,
    connector: Slot<Staging>,
    transformer: Slot<Staging>,
}

impl Engine {
    /// Opens the files and accounts for every key; no weight is read yet.
    ///
    /// # Errors
    /// A file is unreadable, corrupt, foreign, or does not fit the others.
    pub fn open(files: &ModelFiles, options: EngineOptions) -> Result<Self> {
        let ltx = LtxFile::open(&files.checkpoint_files(), &files.loras)?;
        let text = TextFolder::open(&files.text_encoder)?;
        let mut reports = vec![ltx.account().complete()?, text.account().complete()?];
        ltx.check_text_encoder(&text.config)?;
        let upscaler = files.upscaler.as_deref().map(UpscalerFile::open).transpose()?;
        if let Some(upscaler) = &upscaler {
            reports.push(upscaler.account().complete()?);
            let (found, expected) = (upscaler.config.in_channels, ltx.vae.latent_channels);
            same("latent upscaler channels", found, expected)?;
        }
        let tokenizer = text.tokenizer()?;
        let gpu = !options.compute.device.is_cpu();
        let sizes = Sizes::of(&reports, &ltx, &text, &options.compute, gpu);
        let (parts, staging) = (Parts::default(), StagedStacks::default());
        Ok(Self { ltx, text, upscaler, tokenizer, reports, sizes, parts, staging, carrier, gpu, options })
    }

    /// With another carrier than the device's.
    #[cfg(test)]
    pub(crate) fn carried_by(self, carrier: CarrierOf) -> Self {
        Self { carrier, ..self }
    }

    /// As it would be if it computed on a GPU, for plans alone.
    #[cfg(test)]
    pub(crate) fn planned_for_a_gpu(self) -> Self {
        let sizes = Sizes::of(&self.reports, &self.ltx, &self.text, &self.options.compute, true);
        Self { gpu: true, sizes, ..self }
    }

    /// The checkpoint's own `model_version`.
    pub fn version(&self) -> &str {
        self.ltx.tensors.metadata("model_version").unwrap_or("unknown")
    }

    /// The accounts of all files.
    pub fn reports(&self) -> &[LoadReport] {
        &self.reports
    }

    /// Bytes of weights that stay in memory between generations, once each part was used.
    pub fn resident_bytes(&self) -> u64 {
        self.kept_parts().into_iter().map(|part| self.sizes.part(part)).sum()
    }

    /// The parts that stay once each was loaded, where there is room.
    pub(crate) fn kept_parts(&self) -> Vec<Part> {
        Part::kept(self.options.resident_bytes, |part| self.sizes.part(part))
    }

    /// Lets go of what an earlier generation kept and this one has no room for.
    pub(crate) fn make_room(&self, fit: &Fit) {
        let Parts { text_encoder, video_encoder, transformer, upsampler, video_decoder } = &self.parts;
        let clear: [(Part, &dyn Clear); 5] = [
            (Part::TextEncoder, text_encoder),
            (Part::VideoEncoder, video_encoder),
            (Part::Transformer, transformer),
            (Part::Upsampler, upsampler),
            (Part::VideoDecoder, video_decoder),
        ];
        clear.into_iter().filter(|(part, _)| !fit.stays(*part)).for_each(|(_, slot)| slot.clear());
    }

    /// Whether two stages are possible.
    pub fn has_upscaler(&self) -> bool {
        self.upscaler.is_some()
    }

    pub(crate) fn upscaler_config(&self) -> Option<&UpsamplerConfig> {
        self.upscaler.as_ref().map(|upscaler| &upscaler.config)
    }

    pub(crate) fn tokenizer(&self) -> &PromptTokenizer {
        &self.tokenizer
    }

    pub(crate) fn text_encoder(&self, fit: &Fit) -> Result<Arc<TextEncoder>> {
        let stays = fit.stays(Part::TextEncoder);
        self.parts.text_encoder.part(stays, || {
            let [for_gemma, _] = self.host_shares();
            let gemma_vb = self.staged(self.source(&self.text.tensors), &self.staging.gemma, for_gemma)?;
            let gemma = Gemma::load(&gemma_vb.pp(self.text.prefix), &self.text.config)?;
            let vb = self.staged(self.ltx_source(), &self.staging.connector, 0)?;
            Ok(TextEncoder::open(gemma, &vb, &self.ltx.transformer, stays)?)
        })
    }

    pub(crate) fn video_encoder(&self, fit: &Fit) -> Result<Arc<VideoEncoder>> {
        let load = || Ok(VideoEncoder::load(&self.ltx_vb().pp("vae"), &self.ltx.vae)?);
        self.parts.video_encoder.part(fit.stays(Part::VideoEncoder), load)
    }

    pub(crate) fn video_decoder(&self, fit: &Fit) -> Result<Arc<VideoDecoder>> {
        let load = || Ok(VideoDecoder::load(&self.ltx_vb().pp("vae"), &self.ltx.vae)?);
        self.parts.video_decoder.part(fit.stays(Part::VideoDecoder), load)
    }

    /// The transformer, its blocks still to be loaded by the first step. One that stays between generations holds all blocks.
    pub(crate) fn transformer(&self, fit: &Fit) -> Result<Arc<Transformer>> {
        self.parts.transformer.part(fit.stays(Part::Transformer), || {
            let [_, for_blocks] = self.host_shares();
            let vb = self.staged(self.ltx_source(), &self.staging.transformer, for_blocks)?;
            Ok(Transformer::open(&vb.pp(Transformer::PREFIX), &self.ltx.transformer, fit.held)?)
        })
    }

    /// Host memory that may be page-locked for the language model, which is used once in a generation, and for the blocks,
    /// which are used in every step and come first. The language model's is worth locking only where it stays for the next
    /// generation.
    fn host_shares(&self) -> [u64; 2] {
        let blocks = self.options.host_bytes.min(self.sizes.blocks);
        let gemma = if self.options.resident_bytes > 0 { self.options.host_bytes - blocks } else { 0 };
        [gemma.min(self.sizes.gemma), blocks]
    }

    /// A source whose streamed layers reach a GPU through page-locked memory; on the CPU as it is.
    fn staged(&self, source: Arc<dyn Weights>, slot: &Slot<Staging>, host_bytes: u64) -> Result<Vb> {
        let compute = &self.options.compute;
        let vb = Vb::new(Arc::clone(&source), compute.clone());
        match (self.carrier)(&compute.device)? {
            Some(carrier) => {
                let staging =
                    slot.part(self.options.resident_bytes > 0, || Ok(Staging::new(source, carrier, host_bytes)));
                Ok(vb.with_staging(staging?))
            }
            None => Ok(vb),
        }
    }

    /// The upscaler, and the statistics its latents are un-normalised with.
    pub(crate) fn upsampler(&self, fit: &Fit) -> Result<Arc<(Upsampler, LatentStatistics)>> {
        let file = self.upscaler.as_ref().ok_or(PipelineError::NoUpscaler)?;
        self.parts.upsampler.part(fit.stays(Part::Upsampler), || {
            let upsampler = Upsampler::load(&self.vb(&file.tensors), &file.config)?;
            let vae = self.ltx_vb().pp("vae");
            Ok((upsampler, LatentStatistics::load(&vae, self.ltx.vae.latent_channels)?))
        })
    }

    fn ltx_vb(&self) -> Vb {
        Vb::new(self.ltx_source(), self.options.compute.clone())
    }

    /// The checkpoint's weights, with the LoRA files over them.
    fn ltx_source(&self) -> Arc<dyn Weights> {
        let source = self.source(&self.ltx.tensors);
        match self.ltx.loras.is_empty() {
            true => source,
            false => Arc::new(Adapted { base: source, loras: Arc::clone(&self.ltx.loras) }),
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

/// Refuses parts that come from models of different widths.
pub(crate) fn same(part: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(PipelineError::PartsDiffer { part, found, expected }) }
}

#[cfg(test)]
mod streamed;
