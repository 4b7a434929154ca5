//! Flags and manifest defaults to a draft.
//!
//! Must not know the engine.

use super::Arguments;
use crate::{exit::BadInput, library};
use anyhow::Result;
use ltx_pipeline::ModelFiles;
use ltx_policy::{Ask, ModelNames};
use ltx_types::{
    ConditioningMode, Defaults, FieldError, GenerationDraft, Guidance, ImageCondition, ImageSource, Method, Schedule,
    Seed, Stages, Strength,
};
use ltx_weights::{Manifest, ModelLibrary};
use std::path::PathBuf;

/// What `--model` turned out to be.
pub(super) enum Model {
    /// A name; the manifest is absent when the name is not LTX's, which policy will say.
    Named { asked: String, manifest: Option<Box<Manifest>>, files: Option<ModelFiles> },
    /// A checkpoint's path, with what must be said beside it.
    File { files: ModelFiles, schedule: Schedule },
}

impl Model {
    pub(super) fn named(asked: &str, library: &ModelLibrary, names: &ModelNames) -> Self {
        let manifest = names.find(asked).and_then(|known| library.manifest(&known.name)).cloned();
        let files = manifest.as_ref().map(|manifest| library::files(library, manifest));
        Self::Named { asked: asked.to_owned(), manifest: manifest.map(Box::new), files }
    }

    pub(super) fn from_path(arguments: &Arguments) -> Result<Self> {
        let Some(schedule) = arguments.schedule()? else {
            let why = "schedule: dev and distilled checkpoints look alike, so a bare path does not say how to sample; \
                       add --schedule guided (dev) or --schedule distilled";
            return Err(BadInput(why.into()).into());
        };
        let Some(text_encoder) = arguments.text_encoder.clone() else {
            return Err(BadInput(
                "text_encoder: a bare path needs --text-encoder with a Gemma-3 folder or file".into(),
            )
            .into());
        };
        let checkpoint = PathBuf::from(&arguments.model);
        Ok(Self::File {
            files: ModelFiles {
                checkpoint,
                components: arguments.components.clone(),
                text_encoder,
                upscaler: arguments.upscaler.clone(),
                loras: vec![],
            },
            schedule,
        })
    }

    /// What policy is asked about the model: a file given by path is the operator's own LTX model.
    pub(super) fn ask(&self) -> Ask {
        match self {
            Self::Named { asked, .. } => Ask { model: Some(asked.clone()), ..Ask::default() },
            Self::File { .. } => Ask::default(),
        }
    }

    pub(super) fn files(&self) -> Result<ModelFiles> {
        match self {
            Self::Named { files: Some(files), .. } | Self::File { files, .. } => Ok(files.clone()),
            Self::Named { asked, .. } => Err(BadInput(format!("model: {asked} has no manifest here")).into()),
        }
    }

    /// The family that the model's manifest names.
    pub(super) fn family(&self) -> Option<&str> {
        match self {
            Self::Named { manifest: Some(manifest), .. } => Some(&manifest.family),
            Self::Named { .. } | Self::File { .. } => None,
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Named { manifest: Some(manifest), .. } => manifest.name.clone(),
            Self::Named { asked, .. } => asked.clone(),
            Self::File { files, .. } => {
                files.checkpoint.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
            }
        }
    }

    fn defaults(&self) -> Defaults {
        match self {
            Self::Named { manifest: Some(manifest), .. } => manifest.defaults.clone(),
            Self::Named { .. } => official_defaults(Schedule::Distilled),
            Self::File { schedule, .. } => official_defaults(*schedule),
        }
    }
}

/// The official pipelines' defaults for LTX-2.3, for a checkpoint without a manifest.
fn official_defaults(schedule: Schedule) -> Defaults {
    Defaults {
        schedule,
        stages: Stages::One,
        width: 768,
        height: 512,
        frames: 121,
        fps: 24.0,
        steps: 30,
        image_crf: 33,
        guidance: Guidance { cfg_scale: 3.0, stg_scale: 1.0, rescale_scale: 0.7, stg_blocks: vec![28] },
        negative_prompt: String::new(),
    }
}

impl Arguments {
    fn schedule(&self) -> Result<Option<Schedule>> {
        match self.schedule.as_deref() {
            None => Ok(None),
            Some("distilled") => Ok(Some(Schedule::Distilled)),
            Some("guided") => Ok(Some(Schedule::Guided)),
            Some(other) => Err(BadInput(format!("schedule: {other} is neither distilled nor guided")).into()),
        }
    }

    /// Flags over the model's defaults.
    pub(super) fn draft(&self, model: &Model) -> Result<GenerationDraft> {
        let defaults = model.defaults();
        let schedule = self.schedule()?.unwrap_or(defaults.schedule);
        let frames = self.frames.unwrap_or(defaults.frames);
        let guidance = Guidance {
            cfg_scale: self.guidance_scale.unwrap_or(defaults.guidance.cfg_scale),
            stg_scale: self.stg_scale.unwrap_or(defaults.guidance.stg_scale),
            rescale_scale: self.guidance_rescale.unwrap_or(defaults.guidance.rescale_scale),
            stg_blocks: self.stg_blocks.clone().unwrap_or(defaults.guidance.stg_blocks),
        };
        Ok(GenerationDraft {
            prompt: self.prompt.clone(),
            negative_prompt: self.negative_prompt.clone().unwrap_or(defaults.negative_prompt),
            images: self.images(frames)?,
            conditioning: self.conditioning(schedule),
            width: self.width.unwrap_or(defaults.width),
            height: self.height.unwrap_or(defaults.height),
            frames,
            fps: self.fps.unwrap_or(defaults.fps),
            seed: Seed(self.seed),
            schedule,
            steps: self.steps.unwrap_or(defaults.steps),
            stages: self.stages.map_or(Ok(defaults.stages), Stages::try_from)?,
            guidance,
            image_crf: self.image_crf.unwrap_or(defaults.image_crf),
        })
    }

    /// The start image at frame 0, the end image at the last.
    fn images(&self, frames: usize) -> Result<Vec<ImageCondition>> {
        let image = |path: &PathBuf, frame_index, strength, field| {
            let strength = Strength::new(strength).map_err(|error| FieldError { field, ..error })?;
            Ok(ImageCondition { source: ImageSource::Path(path.clone()), frame_index, strength })
        };
        if self.image.is_some() && self.end_image.is_some() && frames < 2 {
            let rule = "is too short for a start and an end frame";
            return Err(FieldError::new("frames", frames, rule).nearest(9).into());
        }
        let start = self.image.iter().map(|path| image(path, 0, self.strength, "strength"));
        // Never 0, even in a clip of one frame: an end image alone must not pass for a start image.
        let last = frames.saturating_sub(1).max(1);
        let end = self.end_image.iter().map(|path| image(path, last, self.end_strength, "end_strength"));
        start.chain(end).collect()
    }

    fn conditioning(&self, schedule: Schedule) -> ConditioningMode {
        let method = if self.end_image.is_some() { Method::StartEndFrames } else { Method::ImageToVideo };
        match self.conditioning.as_deref() {
            Some("append_all") => ConditioningMode::AppendAll,
            Some(_) => ConditioningMode::ReplaceFirst,
            None => ConditioningMode::official(method, schedule),
        }
    }
}
