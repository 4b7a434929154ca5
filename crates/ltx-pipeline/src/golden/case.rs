//! A case's request, read strictly.
//!
//! Must not know tensors.

use super::{
    sampler::{KnownSampling, RawSampler},
    upscaler::RawUpscalerCase,
};
use crate::{
    DecodeNoise, PipelineError, Sigmas,
    schedule::{of_flow, of_points as points_schedule, refining_of_points},
};
use candle_core::DType;
use ltx_model::architecture::Family;
use ltx_types::{
    ConditioningMode, Defaults, FieldError, FieldErrors, Flow, FramePosition, Generation, Guidance, ImageInput,
    ImageSource, LatentScale, LoraChoice, LoraStrengths, Method, ModelFiles, ModelRules, Overrides, PassGuidance,
    SamplingStage, Schedule, Seed, Stages, Strength,
};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why a case cannot be run or does not hold.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// The case's file cannot be read.
    #[error("{}: cannot be read", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The case's file is not a case.
    #[error("{}: not a golden case", file.display())]
    BadCase {
        /// The file.
        file: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// Another version of the format.
    #[error("{}: format {found}, this engine reads ltx-golden/1", file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// The format it states.
        found: String,
    },
    /// The request in the case is not one this engine can run.
    #[error("{}: the request does not hold together", file.display())]
    Request {
        /// The file.
        file: PathBuf,
        /// Which field.
        #[source]
        source: FieldErrors,
    },
    /// The engine failed on it.
    #[error(transparent)]
    Engine(#[from] PipelineError),
}

/// `case.json`, field by field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    format: String,
    name: String,
    /// Of which family the case is, where it is not one of LTX-2.
    #[serde(default)]
    family: Option<String>,
    checkpoint: PathBuf,
    text_encoder: PathBuf,
    #[serde(default)]
    components: Vec<PathBuf>,
    /// For people: it is found beside the text encoder.
    #[serde(default, rename = "tokenizer")]
    _tokenizer: Option<PathBuf>,
    #[serde(default)]
    text_tokens: Option<usize>,
    #[serde(default)]
    decode_timestep: Option<f64>,
    #[serde(default)]
    decode_noise_scale: Option<f64>,
    spatial_upscaler: Option<PathBuf>,
    method: Method,
    conditioning: ConditioningMode,
    prompt: String,
    negative_prompt: Option<String>,
    width: usize,
    height: usize,
    num_frames: usize,
    frame_rate: f64,
    seed: Seed,
    image_crf: u32,
    images: Vec<RawImage>,
    guidance: Option<Guidance>,
    /// Of the flow `multi_scale`, whose case it makes it.
    #[serde(default)]
    pass_guidance: Option<PassGuidance>,
    stage1_sigmas: Vec<f32>,
    stage2_sigmas: Option<Vec<f32>>,
    tolerance: Tolerance,
    #[serde(default)]
    loras: Vec<RawLora>,
    /// Plain Euler in both stages, if it is not said.
    sampler: Option<RawSampler>,
    schedule_tokens: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLora {
    file: PathBuf,
    stage1_strength: f32,
    stage2_strength: f32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawImage {
    file: PathBuf,
    frame_index: usize,
    strength: Strength,
}

/// Relative L2 error that is allowed.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tolerance {
    /// For a single layer.
    pub(super) layer: f64,
    /// For a stage.
    pub(super) stage: f64,
}

impl Tolerance {
    /// In a half precision: about twice what bf16 on the CPU was found to have (3.9e-2 for a layer and for a stage).
    const HALF: Self = Self { layer: 8e-2, stage: 8e-2 };

    /// What is allowed in a compute dtype. The case states it for f32.
    pub(super) fn of(self, dtype: DType) -> Self {
        if dtype == DType::F32 { self } else { Self::HALF }
    }
}

/// A case, ready to run.
pub struct GoldenCase {
    /// The folder it lies in.
    pub folder: PathBuf,
    /// Its name.
    pub name: String,
    /// The model it belongs to.
    pub files: ModelFiles,
    pub(crate) request: Generation,
    /// Whether the first stage is sampled by ancestral Euler.
    pub(crate) ancestral: bool,
    pub(super) tolerance: Tolerance,
    /// Slots in which the case holds a prompt of T5.
    pub(super) text_slots: Option<usize>,
    /// What the case's decoder is told.
    pub(super) decode_noise: DecodeNoise,
}

impl GoldenCase {
    /// Reads `case.json` in `folder`; paths in it are relative to the folder.
    ///
    /// # Errors
    /// It cannot be read, is of another format, or its request does not hold together.
    pub fn open(folder: &Path) -> Result<Self, GoldenError> {
        let file = folder.join("case.json");
        let raw: RawCase = read(&file)?;
        let file = of_format(file, &raw.format)?;
        let files = ModelFiles {
            checkpoint: folder.join(&raw.checkpoint),
            components: raw.components.iter().map(|path| folder.join(path)).collect(),
            text_encoder: folder.join(&raw.text_encoder),
            upscaler: raw.spatial_upscaler.as_ref().map(|path| folder.join(path)),
            loras: raw.loras.iter().map(|lora| lora.choice(folder)).collect(),
        };
        let usual = DecodeNoise::default();
        let decode_noise = DecodeNoise {
            timestep: raw.decode_timestep.unwrap_or(usual.timestep),
            scale: raw.decode_noise_scale.or(raw.decode_timestep).unwrap_or(usual.scale),
        };
        let (name, tolerance, text_slots) = (raw.name.clone(), raw.tolerance, raw.text_tokens);
        let sampling = match &raw.sampler {
            None => KnownSampling::First { ancestral: false },
            Some(sampler) => sampler.known(raw.seed).ok_or_else(|| GoldenError::BadCase {
                file: file.clone(),
                source: serde::de::Error::custom("a sampler with noise, seed or stage that no flow here has"),
            })?,
        };
        let (flow, ancestral) = match sampling {
            KnownSampling::Flow(flow) => (Some(flow), false),
            KnownSampling::First { ancestral } => (raw.pass_guidance.is_some().then_some(Flow::MultiScale), ancestral),
        };
        let request = raw.request(folder, flow).map_err(|source| GoldenError::Request { file, source })?;
        let folder = folder.to_owned();
        Ok(Self { folder, name, files, request, ancestral, tolerance, text_slots, decode_noise })
    }
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T, GoldenError> {
    let bytes = fs::read(file).map_err(|source| GoldenError::Read { file: file.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| GoldenError::BadCase { file: file.to_owned(), source })
}

fn of_format(file: PathBuf, found: &str) -> Result<PathBuf, GoldenError> {
    if found == "ltx-golden/1" { Ok(file) } else { Err(GoldenError::Format { file, found: found.to_owned() }) }
}

/// The case in a folder, where it states a kind of its own.
pub(super) fn upscaler_in(folder: &Path) -> Result<Option<RawUpscalerCase>, GoldenError> {
    let file = folder.join("case.json");
    if read::<serde_json::Value>(&file)?.get("kind").is_none() {
        return Ok(None);
    }
    let raw: RawUpscalerCase = read(&file)?;
    of_format(file, &raw.format)?;
    Ok(Some(raw))
}

impl RawLora {
    fn choice(&self, folder: &Path) -> LoraChoice {
        let strengths = LoraStrengths { first: self.stage1_strength, second: self.stage2_strength };
        LoraChoice::at(folder.join(&self.file), strengths)
    }
}

/// The sigmas that a case of LTX-Video 0.9.x states, where they are not the usual ones.
fn sigmas_of_its_own(usual: &Sigmas, stated: &[f32]) -> Option<Vec<f64>> {
    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
    let same = usual.values().len() == stated.len() && usual.values().iter().zip(stated).all(near);
    (!same).then(|| stated.iter().map(|sigma| f64::from(*sigma)).collect())
}

impl RawCase {
    fn request(self, folder: &Path, flow: Option<Flow>) -> Result<Generation, FieldErrors> {
        let guided = self.guidance.is_some() || self.pass_guidance.is_some();
        let schedule = if guided { Schedule::Guided } else { Schedule::Distilled };
        let image = |image: RawImage| ImageInput {
            source: ImageSource::Path(folder.join(image.file)),
            position: FramePosition::Index(image.frame_index),
            strength: image.strength,
        };
        let guidance = self.guidance.as_ref();
        let of_points = self.family.as_ref().is_some_and(|family| family.starts_with("ltxv"));
        let steps = self.stage1_sigmas.len().saturating_sub(1);
        let own = |usual: Sigmas, stated: &[f32]| if of_points { sigmas_of_its_own(&usual, stated) } else { None };
        let [first, second] = SamplingStage::ALL.map(|stage| of_flow(flow, stage));
        let own_sigmas = own(first.unwrap_or_else(|| points_schedule(schedule, steps)), &self.stage1_sigmas);
        let refining = || second.clone().unwrap_or_else(refining_of_points);
        let refine_sigmas = self.stage2_sigmas.as_ref().and_then(|stated| own(refining(), stated));
        let said = Overrides {
            flow,
            negative_prompt: Some(self.negative_prompt.unwrap_or_default()),
            conditioning: Some(self.conditioning),
            width: Some(self.width),
            height: Some(self.height),
            frames: Some(self.num_frames),
            fps: Some(self.frame_rate),
            seed: Some(self.seed),
            // The schedule's own arithmetic is part of what a case proves; only the number of steps is taken.
            steps: own_sigmas.is_none().then_some(steps),
            sigmas: own_sigmas,
            refine_sigmas,
            stages: Some(if self.stage2_sigmas.is_some() { Stages::Two } else { Stages::One }),
            cfg_scale: guidance.map(|guidance| guidance.cfg_scale),
            stg_scale: guidance.map(|guidance| guidance.stg_scale),
            rescale_scale: guidance.map(|guidance| guidance.rescale_scale),
            stg_blocks: guidance.map(|guidance| guidance.stg_blocks.clone()),
            image_crf: Some(self.image_crf),
            ..Overrides::default()
        };
        let images = self.images.into_iter().map(image).collect();
        let defaults = Defaults { pass_guidance: self.pass_guidance, ..Defaults::official(schedule) };
        let draft = defaults.fill(said, self.prompt, images);
        let family = if of_points { Family::Ltxv098 } else { Family::Ltx23 };
        let rules = ModelRules { distilled_steps: Some(family.distilled_steps()), ..ModelRules::LTX };
        let request = draft.check_by(&rules, self.method)?;
        let tokens = crate::schedule::tokens(&request, LatentScale::LTX);
        match self.schedule_tokens.filter(|stated| *stated != tokens) {
            Some(stated) => {
                let rule = "are not the tokens of the first stage, from which the flow takes its schedule";
                Err(FieldError::new("schedule_tokens", stated, rule).nearest(tokens).into())
            }
            None => Ok(request),
        }
    }
}
