//! The engine: a model's files opened and accounted for, and its parts loaded when a stage needs them.
//!
//! Must not know requests. A part lives as long as its stage, or longer where the budget for resident weights allows; the
//! files stay mapped.

use crate::{
    ModelFiles, PipelineError, Result, TileSizes,
    inspect::{LtxFile, TextFolder, UpscalerFile},
    plan::{Fit, MemoryBudget, Sizes},
    resident::{Clear, Part, Slot},
};
use ltx_model::{
    text_encoder::{Gemma, PromptTokenizer, TextEncoder},
    transformer::Transformer,
    upsampler::Upsampler,
    video_vae::{LatentStatistics, VideoDecoder, VideoEncoder},
};
use ltx_nn::{Compute, Vb, Weights};
use ltx_weights::{Adapted, LoadReport, RandomWeights, Stored, TensorSet};
use std::sync::Arc;

/// How the engine computes.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Device and dtype.
    pub compute: Compute,
    /// Tiles of the decoder.
    pub tiles: TileSizes,
    /// Bytes of weights that may stay in memory between generations; 0 loads every part when its stage begins.
    pub resident_bytes: u64,
    /// What the process may take at its peak. Where a request needs more, blocks of the transformer are streamed; without a
    /// budget nothing is.
    pub memory: Option<MemoryBudget>,
    /// Whether plans leave room for previews. Without it none are made.
    pub previews: bool,
    /// Takes shapes from the files and draws the values, for measurements at sizes whose weights are not here.
    pub random_weights: bool,
}

impl Default for EngineOptions {
    /// f32 on the CPU, the official tiles.
    fn default() -> Self {
        Self {
            compute: Compute::cpu_f32(),
            tiles: TileSizes::default(),
            resident_bytes: 0,
            memory: None,
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
    pub(crate) options: EngineOptions,
}

/// The parts that may stay.
#[derive(Default)]
struct Parts {
    text_encoder: Slot<TextEncoder>,
    video_encoder: Slot<VideoEncoder>,
    transformer: Slot<Transformer>,
    upsampler: Slot<(Upsampler, LatentStatistics)>,
    video_decoder: Slot<VideoDecoder>,
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
        let sizes = Sizes::of(&reports, &ltx, &text, &options.compute);
        Ok(Self { ltx, text, upscaler, tokenizer, reports, sizes, parts: Parts::default(), options })
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

    pub(crate) fn tokenizer(&self) -> &PromptTokenizer {
        &self.tokenizer
    }

    pub(crate) fn text_encoder(&self, fit: &Fit) -> Result<Arc<TextEncoder>> {
        let stays = fit.stays(Part::TextEncoder);
        self.parts.text_encoder.part(stays, || {
            let gemma_vb = self.vb(&self.text.tensors).pp(self.text.prefix);
            let gemma = Gemma::load(&gemma_vb, &self.text.config)?;
            Ok(TextEncoder::open(gemma, &self.ltx_vb(), &self.ltx.transformer, stays)?)
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
        let vb = self.ltx_vb().pp(Transformer::PREFIX);
        let load = || Ok(Transformer::open(&vb, &self.ltx.transformer, fit.held)?);
        self.parts.transformer.part(fit.stays(Part::Transformer), load)
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

    /// The checkpoint's weights, with the LoRA files over them.
    fn ltx_vb(&self) -> Vb {
        let mut source = self.source(&self.ltx.tensors);
        if !self.ltx.loras.is_empty() {
            source = Arc::new(Adapted { base: source, loras: Arc::clone(&self.ltx.loras) });
        }
        Vb::new(source, self.options.compute.clone())
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
