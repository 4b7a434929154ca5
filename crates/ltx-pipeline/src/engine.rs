//! The engine: a model's files opened and accounted for, and its parts loaded when a stage needs them.
//!
//! Must not know requests. A part lives as long as its stage, or longer where the budget for resident weights allows; the
//! files stay mapped.

mod parts;

use crate::{
    PipelineError, Result,
    decode::DecodeNoise,
    image_crf::usual_image_crf,
    opened::{
        LtxFile, TextFiles, UpscalerFile, resolved, same,
        version::{self, check_manifests, version_of},
    },
    plan::{EightBit, Sizes, StageSizes},
    prompts::Prompts,
    sampler::{SamplerKind, samplers},
};
use candle_core::Device;
use ltx_engine::{MemoryBudget, TileSizes};
use ltx_model::{
    architecture::{Architecture, Conditioning},
    footprint::Placement,
    part::Module,
    t5::T5_TOKENS,
    upsampler::UpsamplerConfig,
    video_vae::VideoDecoder,
};
use ltx_nn::{Carrier, Compute, carrier};
use ltx_types::{DistilledLora, Generation, LoraUse, ModelFiles, ModelRules, SamplingStage, Schedule};
use ltx_weights::{LoadReport, TensorSet, Wear};
pub(crate) use parts::LatentUpsampling;
use parts::{Parts, StagedStacks};
use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

/// The first version whose distilled model the authors sample by ancestral Euler.
const ANCESTRAL_SINCE: (u32, u32) = (2, 5);

/// How the engine computes.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Device and dtype.
    pub compute: Compute,
    /// Tiles of the decoder. Without them: the official ones, on a GPU as large ones as `memory` holds. One that draws frames has them
    /// share no less than it sees, and twice as long as that at least.
    pub tiles: Option<TileSizes>,
    /// Bytes of weights that may stay in memory between generations; 0 loads every part when its stage begins.
    pub resident_bytes: u64,
    /// What the process may take at its peak, of the machine's memory or of the GPU's. Where a request needs more, blocks of
    /// the transformer are streamed; without a budget nothing is.
    pub memory: Option<MemoryBudget>,
    /// Bytes of the machine's memory that may be page-locked for weights that stream to a GPU. What has no room there is read
    /// from the files in every pass.
    pub host_bytes: u64,
    /// Bytes that the process holds beside the engine, for plans: a server, its database. 0 for a command.
    pub beside_bytes: u64,
    /// What a decoder that is told a timestep is told, and the noise that goes with it.
    pub decode_noise: DecodeNoise,
    /// Slots in which goldens hold a prompt of T5; nothing else depends on it.
    pub text_slots: usize,
    /// Whether plans leave room for previews. Without it none are made.
    pub previews: bool,
    /// Whether first stages are sampled by ancestral Euler. Without it: as the authors sample the model.
    pub ancestral: Option<bool>,
    /// The version that the model's manifest states; it counts where its files state none.
    pub manifests_version: Option<String>,
    /// Takes shapes from the files and draws the values, for measurements at sizes whose weights are not here.
    pub random_weights: bool,
    /// Says what tells this program from another one whose results may differ in a bit; part of the keys of what is kept, and asked
    /// where one is made. Nothing is kept where it does not know.
    pub build: fn() -> Option<&'static str>,
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
            beside_bytes: 0,
            decode_noise: DecodeNoise::default(),
            text_slots: T5_TOKENS,
            previews: true,
            ancestral: None,
            manifests_version: None,
            random_weights: false,
            build: || Some(""),
        }
    }
}

/// A model, ready to run.
pub struct Engine {
    pub(crate) ltx: LtxFile,
    pub(crate) text: TextFiles,
    /// Where the files that were listed have the distilled LoRA.
    pub(crate) distilled_lora: DistilledLora,
    upscaler: Option<UpscalerFile>,
    prompts: Prompts,
    reports: Vec<LoadReport>,
    /// Sizes of the weights of a generation that names no LoRA.
    pub(crate) sizes: Arc<StageSizes>,
    parts: Parts,
    staging: StagedStacks,
    /// What streamed layers reach the device by.
    carrier: CarrierOf,
    /// Where parts lie and compute, as plans count it.
    pub(crate) placement: Placement,
    pub(crate) options: EngineOptions,
    /// SHA-256 of what all its contexts have in common; nothing where they cannot be told from others.
    pub(crate) text_weights: OnceLock<Option<[u8; 32]>>,
    /// The same of its images' latents.
    pub(crate) image_weights: OnceLock<Option<[u8; 32]>>,
}

/// What carries weights to a device, if they have to be carried.
type CarrierOf = fn(&Device) -> ltx_nn::Result<Option<Box<dyn Carrier>>>;

impl Engine {
    /// Opens the files and accounts for every key; no weight is read yet.
    ///
    /// # Errors
    /// A file is unreadable, corrupt, foreign, or does not fit the others.
    pub fn open(files: &ModelFiles, options: EngineOptions) -> Result<Self> {
        Self::open_sharing(files, options, None)
    }

    /// The same with a tokenizer that another engine of this text encoder has read already; the files' own is not read then.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_sharing(files: &ModelFiles, options: EngineOptions, prompts: Option<Prompts>) -> Result<Self> {
        let files = &resolved(files)?;
        // What the checkpoint is comes first, also where the text encoder is unusable.
        let text = TextFiles::open(&files.text_encoder);
        let checkpoint = (&files.checkpoint_files()[..], options.manifests_version.as_deref());
        let mut ltx = LtxFile::open_as(checkpoint, &files.loras, text.as_ref().ok())?;
        let text = text?;
        let mut reports = vec![ltx.account().complete()?, text.account().complete()?];
        text.check_beside(&mut ltx)?;
        if let Some(timestep) = &mut ltx.architecture.vae.decode_timestep {
            *timestep = options.decode_noise.timestep;
        }
        if ltx.architecture.vae.diffusion().is_some() && !options.compute.device.is_cpu() {
            let holder = ltx.tensors.files_with(VideoDecoder::MARK).next().unwrap_or(ltx.tensors.path());
            return Err(PipelineError::DecoderOnGpu { file: holder.to_owned() });
        }
        let upscaler = files.upscaler.as_deref().map(UpscalerFile::open).transpose()?;
        if let Some(upscaler) = &upscaler {
            upscaler.check_between_stages()?;
            reports.push(upscaler.account().complete()?);
            let (found, expected) = (upscaler.config.in_channels, ltx.architecture.vae.latent_channels);
            same("latent upscaler channels", found, expected)?;
        }
        let beside = [Some(text.tensors()), upscaler.as_ref().map(|upscaler| &upscaler.tensors)];
        let own = ltx.version();
        ltx.notes.extend(beside.into_iter().flatten().flat_map(|tensors| version::beside(tensors, own)));
        let prompts = prompts.map_or_else(|| Prompts::open(&text), Ok)?;
        let placement = Placement::of(&options.compute);
        let (parts, staging) = (Parts::default(), StagedStacks::default());
        let sizes = Arc::default();
        let distilled_lora = DistilledLora::among(&files.loras);
        let engine = Self {
            ltx,
            text,
            distilled_lora,
            upscaler,
            prompts,
            reports,
            sizes,
            parts,
            staging,
            carrier,
            placement,
            options,
            text_weights: OnceLock::new(),
            image_weights: OnceLock::new(),
        };
        Ok(engine.measured())
    }

    /// With the sizes that its weights have where it computes.
    fn measured(self) -> Self {
        let sizes = self.sizes_of(&self.ltx.loras.wear(&[]).unwrap_or_default());
        Self { sizes: Arc::new(sizes), ..self }
    }

    fn sizes_of(&self, wear: &Wear) -> StageSizes {
        let place = (&self.options.compute, self.placement);
        let of = |stage| Sizes::of(&self.reports, &self.ltx, &self.text, place, (stage, wear));
        let [first, second] = SamplingStage::ALL.map(of);
        StageSizes { larger: first.clone().larger(&second), first, second }
    }

    /// The sizes of the weights of a generation that names these LoRAs. Names that no file has are left out: running it refuses them.
    pub(crate) fn sizes_with(&self, used: &[LoraUse]) -> Arc<StageSizes> {
        if used.is_empty() {
            return Arc::clone(&self.sizes);
        }
        self.ltx.loras.wear(used).map_or_else(|_| Arc::clone(&self.sizes), |wear| Arc::new(self.sizes_of(&wear)))
    }

    /// With another carrier than the device's.
    #[cfg(test)]
    pub(crate) fn carried_by(self, carrier: CarrierOf) -> Self {
        Self { carrier, ..self }
    }

    /// As it would be if it computed on a GPU, for plans alone.
    #[cfg(test)]
    pub(crate) fn planned_for_a_gpu(self) -> Self {
        let placement = Placement { device: ltx_model::footprint::DeviceKind::Gpu, ..self.placement };
        Self { placement, ..self }.measured()
    }

    /// The `model_version` of the transformer's file; where it states none, what its manifest says, or `unknown`.
    pub fn version_or(&self, manifest: Option<&str>) -> String {
        self.stated_version().or(manifest).unwrap_or("unknown").to_owned()
    }

    fn stated_version(&self) -> Option<&str> {
        version_of(&self.ltx.tensors)
    }

    /// Whether large matrices of the transformer's blocks or of the language model's layers are multiplied in 8 bits.
    pub fn multiplies_in_8_bits(&self) -> bool {
        let EightBit { blocks, language } = self.sizes.larger.eight_bit;
        blocks || language
    }

    /// Whether the decoder of its video VAE draws frames from noise.
    pub fn draws_frames(&self) -> bool {
        self.architecture().vae.diffusion().is_some()
    }

    /// What the checkpoint is.
    pub fn architecture(&self) -> &Architecture {
        &self.ltx.architecture
    }

    /// Refuses a model whose files are not of the family, or of the version, that its manifest names.
    ///
    /// # Errors
    /// They are of another.
    pub fn expect_family(&self, named: &str) -> Result<()> {
        let (family, tensors) = (self.architecture().family, &self.ltx.tensors);
        if named != family.name() {
            let (file, named) = (tensors.path().to_owned(), named.to_owned());
            return Err(PipelineError::OtherFamily { file, named, family: family.name() });
        }
        check_manifests(tensors, self.options.manifests_version.as_deref(), family)
    }

    /// The accounts of all files.
    pub fn reports(&self) -> &[LoadReport] {
        &self.reports
    }

    /// What was taken from somewhere else than a reader would think: a configuration from shapes, a tensor from one of two files; and
    /// what the files state and nothing is made of.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        let upscaler = self.upscaler.iter().flat_map(|upscaler| &upscaler.notes);
        self.ltx.notes.iter().chain(self.text.notes()).chain(upscaler).map(String::as_str)
    }

    /// Whether two stages are possible.
    pub fn has_upscaler(&self) -> bool {
        self.upscaler.is_some()
    }

    /// The samplers of both stages. From LTX-2.5 on, the distilled schedule's first stage is sampled by ancestral Euler.
    pub(crate) fn samplers(&self, request: &Generation) -> [SamplerKind; 2] {
        if self.architecture().family.conditioning() == Conditioning::Points {
            return [SamplerKind::EulerOfPoints; 2];
        }
        let distilled = request.schedule == Schedule::Distilled;
        let newer = self.ltx.version() >= ANCESTRAL_SINCE;
        match samplers(request) {
            [SamplerKind::Euler, second] if self.options.ancestral.unwrap_or(distilled && newer) => {
                [SamplerKind::ancestral(request), second]
            }
            usual => usual,
        }
    }

    /// What requests for the model are held against.
    pub fn rules(&self) -> ModelRules {
        ModelRules {
            two_stages: Some(self.has_upscaler()),
            image_crf: Some(usual_image_crf(self.architecture().family, &self.ltx.tensors)),
            distilled_lora: Some(self.distilled_lora),
            ..self.architecture().rules()
        }
    }

    /// The largest file of the checkpoint.
    pub(crate) fn largest_file(&self) -> Option<&Path> {
        self.ltx.tensors.largest_file()
    }

    pub(crate) fn upscaler_tensors(&self) -> Option<&TensorSet> {
        self.upscaler.as_ref().map(|upscaler| &*upscaler.tensors)
    }

    pub(crate) fn upscaler_config(&self) -> Option<&UpsamplerConfig> {
        self.upscaler.as_ref().map(|upscaler| &upscaler.config)
    }

    /// The tokenizer, to be shared.
    pub fn prompts(&self) -> &Prompts {
        &self.prompts
    }
}

#[cfg(test)]
mod drawing;
#[cfg(test)]
mod streamed;
