//! A case of `kind` `latent_upscaler`: a latent, what an upscaler makes of it, and the outputs of its blocks.
//!
//! Must not know requests.

use super::{GoldenError, GoldenResult, case::Tolerance, compare::compare_all};
use crate::{
    EngineOptions, PipelineError,
    opened::{LtxFile, UpscalerFile, same},
};
use candle_core::{Device, Tensor};
use ltx_model::{part::Module, upsampler::Upsampler, video_vae::LatentStatistics};
use ltx_nn::{Taps, Vb};
use ltx_weights::Stored;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// `case.json`, field by field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpscalerCase {
    pub(super) format: String,
    #[serde(rename = "kind")]
    _kind: Kind,
    #[serde(rename = "name")]
    _name: String,
    checkpoint: PathBuf,
    upscaler: PathBuf,
    input: String,
    output: String,
    tolerance: Tolerance,
}

/// The kind of a case that runs no request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    LatentUpscaler,
}

/// A latent through an upscaler alone.
pub struct UpscalerCase {
    folder: PathBuf,
    raw: RawUpscalerCase,
}

impl UpscalerCase {
    pub(super) fn new(folder: &Path, raw: RawUpscalerCase) -> Self {
        Self { folder: folder.to_owned(), raw }
    }

    /// Un-normalises the latent with the checkpoint's statistics, upscales it, normalises it and compares.
    ///
    /// # Errors
    /// A file cannot be read or does not fit the others, the case has no input, or the engine failed.
    pub fn run(&self, options: &EngineOptions) -> Result<GoldenResult, GoldenError> {
        let Self { folder, raw } = self;
        let expected = super::run::tensors_of(folder)?;
        let file = folder.join("tensors.safetensors");
        let absent = || candle_core::Error::msg(format!("no tensor {}", raw.input));
        let input =
            { expected.get(&raw.input) }.ok_or_else(|| PipelineError::Tensors { file, source: Box::new(absent()) })?;
        let computed = self.upscaled(input, options)?;
        let comparisons = compare_all(
            &computed,
            &expected,
            std::slice::from_ref(&raw.output),
            raw.tolerance.of(options.compute.dtype),
        );
        Ok(GoldenResult { comparisons, computed: computed.into_iter().collect() })
    }

    fn upscaled(&self, input: &Tensor, options: &EngineOptions) -> crate::Result<BTreeMap<String, Tensor>> {
        let Self { folder, raw } = self;
        let ltx = LtxFile::open(&[folder.join(&raw.checkpoint)], &[], None)?;
        let file = UpscalerFile::open(&folder.join(&raw.upscaler))?;
        file.account().complete()?;
        let channels = ltx.architecture.vae.latent_channels;
        same("latent upscaler channels", file.config.in_channels, channels)?;
        let vb = |tensors| Vb::new(Arc::new(Stored(Arc::clone(tensors))), options.compute.clone());
        let statistics = LatentStatistics::load(&vb(&ltx.tensors).pp("vae"), channels)?;
        let upsampler = Upsampler::load(&vb(&file.tensors), &file.config)?;
        let taps = Taps::on();
        let input = statistics.unnormalize(&input.to_device(&options.compute.device)?)?;
        let output = statistics.normalize(&upsampler.forward(&input, &taps.within("up."))?)?;
        let mut computed = taps.into_tensors()?;
        computed.insert(raw.output.clone(), output);
        let on_cpu = |(name, tensor): (String, Tensor)| Ok((name, tensor.to_device(&Device::Cpu)?));
        computed.into_iter().map(on_cpu).collect()
    }
}
