//! The engine: a model's files opened and accounted for, and its parts loaded when a stage needs them.
//!
//! Must not know requests. A part lives as long as its stage; the files stay mapped.

use crate::{
    PipelineError, Result, TileSizes,
    inspect::{LtxFile, TextFolder, UpscalerFile},
};
use ltx_model::{
    text_encoder::{Connector, FeatureProjection, Gemma, PromptTokenizer, TextEncoder, TextEncoderParts},
    transformer::Transformer,
    upsampler::Upsampler,
    video_vae::{LatentStatistics, VideoDecoder, VideoEncoder},
};
use ltx_nn::{Compute, Vb};
use ltx_weights::{LoadReport, Stored, TensorSet};
use std::{path::PathBuf, sync::Arc};

/// Where a model's files lie.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    /// Transformer, connector, text projection and VAE.
    pub checkpoint: PathBuf,
    /// The Gemma-3 folder.
    pub text_encoder: PathBuf,
    /// The ×2 latent upscaler.
    pub upscaler: Option<PathBuf>,
}

/// How the engine computes.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Device and dtype.
    pub compute: Compute,
    /// Tiles of the decoder.
    pub tiles: TileSizes,
}

impl Default for EngineOptions {
    /// f32 on the CPU, the official tiles.
    fn default() -> Self {
        Self { compute: Compute::cpu_f32(), tiles: TileSizes::default() }
    }
}

/// A model, ready to run.
pub struct Engine {
    pub(crate) ltx: LtxFile,
    pub(crate) text: TextFolder,
    upscaler: Option<UpscalerFile>,
    tokenizer: PromptTokenizer,
    pub(crate) options: EngineOptions,
}

impl Engine {
    /// Opens the files and accounts for every key; no weight is read yet.
    ///
    /// # Errors
    /// A file is unreadable, corrupt, foreign, or does not fit the others.
    pub fn open(files: &ModelFiles, options: EngineOptions) -> Result<Self> {
        let ltx = LtxFile::open(&files.checkpoint)?;
        ltx.account().complete()?;
        let text = TextFolder::open(&files.text_encoder)?;
        text.account().complete()?;
        ltx.check_text_encoder(&text.config)?;
        let upscaler = files.upscaler.as_deref().map(UpscalerFile::open).transpose()?;
        if let Some(upscaler) = &upscaler {
            upscaler.account().complete()?;
            let (found, expected) = (upscaler.config.in_channels, ltx.vae.latent_channels);
            same("latent upscaler channels", found, expected)?;
        }
        let tokenizer = text.tokenizer()?;
        Ok(Self { ltx, text, upscaler, tokenizer, options })
    }

    /// The checkpoint's own `model_version`.
    pub fn version(&self) -> &str {
        self.ltx.tensors.metadata("model_version").unwrap_or("unknown")
    }

    /// The accounts of all files.
    pub fn reports(&self) -> Vec<LoadReport> {
        let upscaler = self.upscaler.as_ref().map(|upscaler| upscaler.account().report());
        [self.ltx.account().report(), self.text.account().report()].into_iter().chain(upscaler).collect()
    }

    /// Whether two stages are possible.
    pub fn has_upscaler(&self) -> bool {
        self.upscaler.is_some()
    }

    pub(crate) fn tokenizer(&self) -> &PromptTokenizer {
        &self.tokenizer
    }

    pub(crate) fn text_encoder(&self) -> Result<TextEncoder> {
        let gemma_vb = self.vb(&self.text.tensors).pp(self.text.prefix);
        let gemma = Gemma::load(&gemma_vb, &self.text.config)?;
        let vb = self.vb(&self.ltx.tensors);
        let config = &self.ltx.transformer;
        let states = (self.text.config.hidden_size, self.text.config.states());
        Ok(TextEncoder::new(TextEncoderParts {
            gemma,
            projection: FeatureProjection::load(&vb, states, config.connector_dim())?,
            connector: Connector::load(&vb.pp(Transformer::PREFIX), config)?,
        }))
    }

    pub(crate) fn video_encoder(&self) -> Result<VideoEncoder> {
        Ok(VideoEncoder::load(&self.vb(&self.ltx.tensors).pp("vae"), &self.ltx.vae)?)
    }

    pub(crate) fn video_decoder(&self) -> Result<VideoDecoder> {
        Ok(VideoDecoder::load(&self.vb(&self.ltx.tensors).pp("vae"), &self.ltx.vae)?)
    }

    pub(crate) fn transformer(&self) -> Result<Transformer> {
        let vb = self.vb(&self.ltx.tensors).pp(Transformer::PREFIX);
        Ok(Transformer::load(&vb, &self.ltx.transformer)?)
    }

    /// The upscaler, and the statistics its latents are un-normalised with.
    pub(crate) fn upsampler(&self) -> Result<(Upsampler, LatentStatistics)> {
        let file = self.upscaler.as_ref().ok_or(PipelineError::NoUpscaler)?;
        let upsampler = Upsampler::load(&self.vb(&file.tensors), &file.config)?;
        let statistics = LatentStatistics::load(&self.vb(&self.ltx.tensors).pp("vae"), self.ltx.vae.latent_channels)?;
        Ok((upsampler, statistics))
    }

    fn vb(&self, tensors: &Arc<TensorSet>) -> Vb {
        Vb::new(Arc::new(Stored(Arc::clone(tensors))), self.options.compute.clone())
    }
}

/// Refuses parts that come from models of different widths.
pub(crate) fn same(part: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(PipelineError::PartsDiffer { part, found, expected }) }
}
