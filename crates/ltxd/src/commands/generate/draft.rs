//! Flags and manifest defaults to a draft.
//!
//! Must not know the engine.

use super::Arguments;
use crate::exit::BadInput;
use anyhow::Result;
use ltx_catalog::{Manifest, ModelLibrary};
use ltx_policy::{Ask, ModelNames};
use ltx_types::{
    Defaults, FieldError, Flow, FramePosition, GenerationDraft, ImageInput, ImageSource, LoraStrengths, LoraUse,
    Method, ModelFiles, Schedule, Stages, Strength,
};
use std::path::{Path, PathBuf};

/// What `--model` turned out to be.
pub(super) enum Model {
    /// A name; the manifest is absent when the name is not LTX's, which policy will say.
    Named { asked: String, manifest: Option<Box<Manifest>>, library: Box<ModelLibrary> },
    /// A checkpoint's path, with what must be said beside it.
    File { files: ModelFiles, schedule: Schedule, flow: Option<Flow> },
}

impl Model {
    pub(super) fn named(asked: &str, library: &ModelLibrary, names: &ModelNames) -> Self {
        let manifest = names.find(asked).and_then(|known| library.manifest(known.name())).cloned();
        Self::Named { asked: asked.to_owned(), manifest: manifest.map(Box::new), library: Box::new(library.clone()) }
    }

    pub(super) fn from_path(arguments: &Arguments) -> Result<Self> {
        // What it is comes before what is missing beside it.
        let lacking = |why: &str| match ltx_pipeline::named_otherwise(Path::new(&arguments.model)) {
            Some(other) => anyhow::Error::from(other),
            None => BadInput(why.into()).into(),
        };
        let flow = arguments.generation.flow;
        let Some(schedule) = arguments.generation.schedule.or(flow.map(Flow::schedule)) else {
            let why = "schedule: dev and distilled checkpoints look alike, so a bare path does not say how to sample; \
                       add --schedule guided (dev) or --schedule distilled, or a --flow";
            return Err(lacking(why));
        };
        let Some(text_encoder) = arguments.text_encoder.clone() else {
            return Err(lacking("text_encoder: a bare path needs --text-encoder with a Gemma folder or file"));
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
            flow,
        })
    }

    /// What policy is asked about the model: a file given by path is the operator's own LTX model.
    pub(super) fn ask(&self) -> Ask {
        match self {
            Self::Named { asked, .. } => Ask { model: Some(asked.clone()), ..Ask::default() },
            Self::File { .. } => Ask::default(),
        }
    }

    /// LoRAs that a request may name, with their strengths.
    fn listed(&self) -> Vec<(&str, LoraStrengths)> {
        let Self::Named { manifest: Some(manifest), .. } = self else { return vec![] };
        manifest.loras_by_name().collect()
    }

    /// The files of a generation that uses these of the listed LoRAs; the others need not be here.
    pub(super) fn files(&self, used: &[LoraUse]) -> Result<ModelFiles> {
        match self {
            Self::Named { manifest: Some(manifest), library, .. } => {
                let mut manifest = manifest.as_ref().clone();
                let is_used = |name: &String| used.iter().any(|used| used.name == *name);
                manifest.files.loras.retain(|lora| lora.name.as_ref().is_none_or(is_used));
                Ok(library.files_of(&manifest)?)
            }
            Self::File { files, .. } => Ok(files.clone()),
            Self::Named { asked, .. } => Err(BadInput(format!("model: {asked} has no manifest here")).into()),
        }
    }

    /// The model's manifest, where a name stands for one.
    pub(super) fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Named { manifest, .. } => manifest.as_deref(),
            Self::File { .. } => None,
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
            Self::Named { .. } => Defaults::official(Schedule::Distilled),
            Self::File { files, schedule, flow } => ltx_pipeline::official_defaults(files, *schedule, *flow),
        }
    }
}

impl Arguments {
    /// Flags over the model's defaults. What is wrong with flags alone is among the draft's faults.
    pub(super) fn draft(&self, model: &Model) -> Result<GenerationDraft> {
        let flags = &self.generation;
        let mut faults = Vec::new();
        let images = self.images(&mut faults);
        let both = images.len() > 1;
        let said = flags.overrides(&mut faults);
        let stages = faults.iter().any(|fault| fault.field == "stages");
        let mut draft = model.defaults().fill(said, flags.prompt.clone().unwrap_or_default(), images);
        // Whether a second stage is refined is not known where nobody knows how many there are.
        let of_two = ["refine_sigmas", "loras"];
        draft.faults.retain(|fault| !(stages && of_two.contains(&fault.field)));
        draft.faults.extend(faults);
        match LoraUse::settled(std::mem::take(&mut draft.loras), &model.listed(), draft.stages) {
            Ok(loras) => draft.loras = loras,
            Err(found) => draft.faults.extend(found),
        }
        match model {
            Model::Named { .. } => draft.faults.extend(self.files_in_vain()),
            Model::File { .. } if draft.stages == Stages::One && !stages => {
                draft.faults.extend(self.upscaler_in_vain());
            }
            Model::File { .. } => {}
        }
        if !stages {
            draft.faults.extend(self.loras.unread(draft.stages));
        }
        // Policy takes a single frame for the length's fault; here that is said before policy is asked.
        if both && draft.frames < 2 {
            draft.clone().check(Method::StartEndFrames)?;
        }
        Ok(draft)
    }

    /// Files that are said beside a model's name: its manifest says which they are.
    fn files_in_vain(&self) -> impl Iterator<Item = FieldError> {
        let said = [
            ("component", self.components.first()),
            ("text_encoder", self.text_encoder.as_ref()),
            ("upscaler", self.upscaler.as_ref()),
        ];
        said.into_iter().filter_map(|(field, file)| {
            let rule =
                "is not read: a model's name stands for the files of its manifest; say its path instead of the name";
            Some(FieldError::new(field, file?.display(), rule))
        })
    }

    /// An upscaler beside a path, where there are no stages that it stands between.
    fn upscaler_in_vain(&self) -> Option<FieldError> {
        let rule = "is not read: one stage has no upscaler; leave it out, or ask for stages 2";
        Some(FieldError::new("upscaler", self.upscaler.as_ref()?.display(), rule))
    }

    /// What is wrong with the images themselves; what is to be said of others is said on standard error.
    pub(super) fn image_faults(&self) -> Vec<FieldError> {
        let named = [("image", &self.generation.image), ("end_image", &self.generation.end_image)];
        let given = named.into_iter().filter_map(|(field, path)| Some((field, path.as_ref()?)));
        let faults =
            given.filter_map(|(field, path)| match ltx_media::look_at_image(&ImageSource::Path(path.clone())) {
                Ok(notes) => {
                    notes.iter().for_each(|note| eprintln!("image {}: {note}", path.display()));
                    None
                }
                Err(error) => Some(error.in_field(field)),
            });
        faults.collect()
    }

    /// The start image at the first frame, the end image at the last.
    fn images(&self, faults: &mut Vec<FieldError>) -> Vec<ImageInput> {
        let flags = &self.generation;
        let mut image = |path: &PathBuf, position, strength: Option<f64>, field| {
            let source = ImageSource::Path(path.clone());
            let strength = strength.map_or(Ok(Strength::FULL), Strength::new);
            let strength = strength.unwrap_or_else(|error| {
                faults.push(FieldError { field, ..error });
                Strength::FULL
            });
            ImageInput { source, position, strength }
        };
        let start = flags.image.as_ref().map(|path| image(path, FramePosition::First, flags.strength, "strength"));
        let end =
            flags.end_image.as_ref().map(|path| image(path, FramePosition::Last, flags.end_strength, "end_strength"));
        start.into_iter().chain(end).collect()
    }
}
