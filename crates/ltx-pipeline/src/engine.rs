//! The engine: a model's files opened and accounted for, and its parts loaded when a stage needs them.
//!
//! Must not know requests. A part lives as long as its stage, or longer where the budget for resident weights allows; the
//! files stay mapped.

use crate::{
    PipelineError, Result, TileSizes,
    inspect::{LtxFile, TextFolder, UpscalerFile},
    resident::{Part, Slot},
};
use ltx_model::{
    text_encoder::{Connector, FeatureProjection, Gemma, PromptTokenizer, TextEncoder, TextEncoderParts},
    transformer::Transformer,
    upsampler::Upsampler,
    video_vae::{LatentStatistics, VideoDecoder, VideoEncoder},
};
use ltx_nn::{Compute, Vb, Weights};
use ltx_weights::{Adapted, LoadReport, LoraChoice, RandomWeights, Stored, Tally, TensorSet};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// Where a model's files lie.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    /// Transformer, connector, text projection and VAE; or the first of several component files.
    pub checkpoint: PathBuf,
    /// The other component files; a `*.json` among them states the configuration.
    pub components: Vec<PathBuf>,
    /// The Gemma-3 folder, or a file with `config.json` and `tokenizer.json` in it or beside it.
    pub text_encoder: PathBuf,
    /// The ×2 latent upscaler.
    pub upscaler: Option<PathBuf>,
    /// LoRA files over the checkpoint.
    pub loras: Vec<LoraChoice>,
}

impl ModelFiles {
    /// The checkpoint and the other component files.
    pub fn checkpoint_files(&self) -> Vec<PathBuf> {
        std::iter::once(&self.checkpoint).chain(&self.components).cloned().collect()
    }
}

/// How the engine computes.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Device and dtype.
    pub compute: Compute,
    /// Tiles of the decoder.
    pub tiles: TileSizes,
    /// Bytes of weights that may stay in memory between generations; 0 loads every part when its stage begins.
    pub resident_bytes: u64,
    /// Takes shapes from the files and draws the values, for measurements at sizes whose weights are not here.
    pub random_weights: bool,
}

impl Default for EngineOptions {
    /// f32 on the CPU, the official tiles.
    fn default() -> Self {
        Self { compute: Compute::cpu_f32(), tiles: TileSizes::default(), resident_bytes: 0, random_weights: false }
    }
}

/// A model, ready to run.
pub struct Engine {
    pub(crate) ltx: LtxFile,
    pub(crate) text: TextFolder,
    upscaler: Option<UpscalerFile>,
    tokenizer: PromptTokenizer,
    reports: Vec<LoadReport>,
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
        Ok(Self { ltx, text, upscaler, tokenizer, reports, parts: Parts::default(), options })
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
        self.kept_parts().into_iter().map(|part| self.part_bytes(part)).sum()
    }

    /// Bytes of a part's weights in memory: packed matrices, and LoRA pairs beside them, as they are stored, all else in the
    /// compute dtype.
    pub(crate) fn weight_bytes(&self, part: &str) -> u64 {
        let value = self.options.compute.dtype.size_in_bytes() as u64;
        let bytes = |report: &LoadReport| {
            let tally = |tallies: &BTreeMap<&str, Tally>| tallies.get(part).copied().unwrap_or_default();
            let (used, packed) = (tally(&report.used), tally(&report.packed));
            (used.parameters - packed.parameters) * value + packed.bytes + tally(&report.beside).bytes
        };
        self.reports.iter().map(bytes).sum()
    }

    /// Bytes of a part that may stay. Gemma is read layer by layer in every pass and never stays; of the text encoder it is
    /// the projection and the connector.
    pub(crate) fn part_bytes(&self, part: Part) -> u64 {
        let names: &[&str] = match part {
            Part::TextEncoder => &["text projection", "text connector"],
            Part::VideoEncoder => &["video VAE encoder"],
            Part::Transformer => &["transformer"],
            Part::Upsampler => &["latent upscaler"],
            Part::VideoDecoder => &["video VAE decoder"],
        };
        names.iter().map(|name| self.weight_bytes(name)).sum()
    }

    /// The parts that stay once each was loaded.
    pub(crate) fn kept_parts(&self) -> Vec<Part> {
        Part::kept(self.options.resident_bytes, |part| self.part_bytes(part))
    }

    fn stays(&self, part: Part) -> bool {
        self.kept_parts().contains(&part)
    }

    /// Whether two stages are possible.
    pub fn has_upscaler(&self) -> bool {
        self.upscaler.is_some()
    }

    pub(crate) fn tokenizer(&self) -> &PromptTokenizer {
        &self.tokenizer
    }

    pub(crate) fn text_encoder(&self) -> Result<Arc<TextEncoder>> {
        self.parts.text_encoder.part(self.stays(Part::TextEncoder), || {
            let gemma_vb = self.vb(&self.text.tensors).pp(self.text.prefix);
            let gemma = Gemma::load(&gemma_vb, &self.text.config)?;
            let vb = self.ltx_vb();
            let config = &self.ltx.transformer;
            let states = (self.text.config.hidden_size, self.text.config.states());
            Ok(TextEncoder::new(TextEncoderParts {
                gemma,
                projection: FeatureProjection::load(&vb, states, config.connector_dim())?,
                connector: Connector::load(&vb.pp(Transformer::PREFIX), config)?,
            }))
        })
    }

    pub(crate) fn video_encoder(&self) -> Result<Arc<VideoEncoder>> {
        let load = || Ok(VideoEncoder::load(&self.ltx_vb().pp("vae"), &self.ltx.vae)?);
        self.parts.video_encoder.part(self.stays(Part::VideoEncoder), load)
    }

    pub(crate) fn video_decoder(&self) -> Result<Arc<VideoDecoder>> {
        let load = || Ok(VideoDecoder::load(&self.ltx_vb().pp("vae"), &self.ltx.vae)?);
        self.parts.video_decoder.part(self.stays(Part::VideoDecoder), load)
    }

    pub(crate) fn transformer(&self) -> Result<Arc<Transformer>> {
        let vb = self.ltx_vb().pp(Transformer::PREFIX);
        let load = || Ok(Transformer::load(&vb, &self.ltx.transformer)?);
        self.parts.transformer.part(self.stays(Part::Transformer), load)
    }

    /// The upscaler, and the statistics its latents are un-normalised with.
    pub(crate) fn upsampler(&self) -> Result<Arc<(Upsampler, LatentStatistics)>> {
        let file = self.upscaler.as_ref().ok_or(PipelineError::NoUpscaler)?;
        self.parts.upsampler.part(self.stays(Part::Upsampler), || {
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
