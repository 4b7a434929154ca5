//! The files of a model, opened: what each is, and the account of its keys, for which the models' real `load()` runs on
//! shapes alone.
//!
//! Must not know requests, or what an account is printed on.

mod around;
mod beside;
mod folder;
mod gemma_version;
mod named_tokens;
mod pipeline;
pub(crate) mod recognised;
mod scheduler;
mod shards;
pub(crate) mod stated;
mod t5;
mod text;
mod text_files;
mod tokenizer;
mod tokenizer_settings;
pub(crate) mod version;

pub(crate) use folder::{checkpoint_in, is_gemma, left_alone as left_alone_in_folder};
pub use folder::{left_alone_in, named_otherwise, resolved};
pub(crate) use pipeline::notes as pipeline_notes;
pub(crate) use scheduler::note_of as scheduler_note;
pub(crate) use t5::T5Files;
pub(crate) use text::{TextFolder, left_alone};
pub(crate) use text_files::TextFiles;
pub(crate) use tokenizer::TOKENIZER;

use crate::{PipelineError, Result};
use ltx_model::{
    architecture::{Architecture, Components, Conditioning, Family, Keys},
    derived::{Lack, transformer_section, vae_section},
    diffusers::official,
    part::{CHECKPOINT, Marked, Module, WITHOUT_TEXT},
    text_encoder::GemmaConfig,
    upsampler::{Resampling, Upsampler, UpsamplerConfig},
};
use ltx_nn::{Compute, NnError, Vb};
use ltx_types::{Defaults, Flow, LoraChoice, ModelFiles, Part, Schedule};
use ltx_weights::{Loras, ShapeOnly, TensorSet, Twice};
use recognised::{misplaced, open_each};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The official single file, or its components.
pub(crate) struct LtxFile {
    pub(crate) tensors: Arc<TensorSet>,
    pub(crate) architecture: Architecture,
    pub(crate) loras: Arc<Loras>,
    /// What was taken from somewhere else than a reader would think.
    pub(crate) notes: Vec<String>,
}

/// A latent upscaler's file.
pub(crate) struct UpscalerFile {
    pub(crate) tensors: Arc<TensorSet>,
    pub(crate) config: UpsamplerConfig,
    /// What is said of what its header states.
    pub(crate) notes: Vec<String>,
}

/// The parts of a checkpoint that files hold, and those that they do not.
pub(crate) struct Held {
    pub(crate) here: Vec<Part>,
    pub(crate) absent: Vec<Part>,
}

impl Held {
    pub(crate) fn by(tensors: &TensorSet) -> Self {
        let parts: &[Marked] = if has_no_text_part(tensors) { &WITHOUT_TEXT } else { &CHECKPOINT };
        let (here, absent): (Vec<_>, Vec<_>) = parts.iter().partition(|marked| tensors.has_prefix(marked.mark));
        let parts = |marked: Vec<&Marked>| marked.into_iter().map(|marked| marked.part).collect();
        Self { here: parts(here), absent: parts(absent) }
    }
}

/// Whether files are of a family without a text part: by what they state, else by their keys.
pub(crate) fn has_no_text_part(tensors: &TensorSet) -> bool {
    let config = tensors.states_config().then(|| tensors.config().ok()).flatten();
    let stated = config.as_ref().and_then(Family::states_no_text_part);
    stated.unwrap_or_else(|| Family::has_no_text_part(&KeysOf(tensors)))
}

/// The keys of files, for what a configuration leaves to them.
pub(crate) struct KeysOf<'a>(pub(crate) &'a TensorSet);

impl Keys for KeysOf<'_> {
    fn shape_of(&self, key: &str) -> Option<&[usize]> {
        self.0.shape_of(key)
    }

    fn has_prefix(&self, prefix: &str) -> bool {
        self.0.has_prefix(prefix)
    }

    fn all(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.0.keys())
    }
}

/// The configuration that files state; for parts of a GGUF whose section none states, the one that their keys and shapes show.
/// `text_width` is the text encoder's, where it is known.
pub(crate) fn configuration(tensors: &TensorSet, text_width: Option<usize>) -> Result<(Value, Vec<String>)> {
    let mut notes: Vec<String> = tensors.twice().iter().map(twice).collect();
    if !tensors.formats().contains("GGUF") {
        let named =
            || shards::named(tensors.files_with("")).or_else(|| recognised::named_without_configuration(tensors));
        if let Some(named) = (!tensors.states_config()).then(named).flatten() {
            return Err(named);
        }
        return Ok((tensors.config()?, notes));
    }
    let mut config = if tensors.states_config() { tensors.config()? } else { Value::Object(serde_json::Map::new()) };
    let Held { here, .. } = Held::by(tensors);
    let holds = |parts: &[Part]| here.iter().any(|part| parts.contains(part));
    let keys = KeysOf(tensors);
    let shown = if has_no_text_part(tensors) { Some(Family::Ltxv098) } else { Family::shown_by(&keys) };
    let title = shown.unwrap_or(Family::Ltx23).title();
    let states_others = tensors.states_config();
    let mut derive = |name: &str, parts: &[Part], section: &dyn Fn() -> ltx_nn::Result<Value>| {
        if holds(parts) && config.get(name).is_none_or(Value::is_null) {
            let section = section().map_err(|error| match shown.and_then(|_| Lack::of(&error)) {
                Some(lack) => not_derived(tensors.path(), (title, name), (lack, states_others)),
                None => config_of(tensors.path())(error),
            })?;
            if let Some(config) = config.as_object_mut() {
                config.insert(name.to_owned(), section);
            }
            let file = tensors.path().display();
            notes.push(format!(
                "{file}: states no configuration of the {name}; that of {title}, with the sizes of its tensors"
            ));
        }
        Ok::<_, PipelineError>(())
    };
    let denoising = [Part::Transformer, Part::TextConnector, Part::TextProjection];
    derive("transformer", &denoising, &|| transformer_section(&keys, text_width))?;
    derive("vae", &[Part::VideoEncoder, Part::VideoDecoder], &|| vae_section(&keys))?;
    Ok((config, notes))
}

/// What files are of which no shape shows the configuration, and why. `states_others` says that they state other sections.
fn not_derived(file: &Path, (title, section): (&str, &str), (lack, states_others): (Lack, bool)) -> PipelineError {
    let (whose, sign, instead) = match lack {
        Lack::Tensor(sign) => (
            "with a tensor missing or of another shape",
            sign,
            "take the file as it was published, or add the configuration .json of the model that it is (models/facts) as a component",
        ),
        Lack::Number(sign) => (
            if states_others { "without its section of the configuration" } else { "without a configuration" },
            format!("{sign}, which no published one has"),
            "its configuration beside it makes it whole",
        ),
    };
    PipelineError::Foreign { file: file.to_owned(), title: format!("{title} {section} {whose}"), sign, instead }
}

fn twice(Twice { first, second, tensors }: &Twice) -> String {
    let (first, second) = (first.display(), second.display());
    format!("{second}: {tensors} of its tensors are in {first} as well, and are read from there")
}

impl LtxFile {
    /// The official single file, or the component files of one model; and LoRA files over it. The text encoder's file may hold
    /// the projection, and tells the width of its hidden states, which no shape of these files shows.
    pub(crate) fn open(files: &[PathBuf], loras: &[LoraChoice], text: Option<&TextFiles>) -> Result<Self> {
        Self::open_as((files, None), loras, text)
    }

    /// The same of files whose manifest states a version.
    pub(crate) fn open_as(
        (files, manifests_version): (&[PathBuf], Option<&str>),
        loras: &[LoraChoice],
        text: Option<&TextFiles>,
    ) -> Result<Self> {
        let tensors = joined(files, open_each(files)?)?;
        if Held::by(&tensors).here.is_empty() {
            return Err(misplaced(&tensors));
        }
        let tensors = match text.map(|text| text.projection_beside(&tensors)).transpose()?.flatten() {
            Some(projection) => tensors.and(projection)?,
            None => tensors,
        };
        let text_width = text.map(TextFiles::width);
        let Held { absent, .. } = Held::by(&tensors);
        let stated = configuration(&tensors, text_width).and_then(|stated| {
            recognised::check_generation(&tensors, &stated.0)?;
            Ok(stated)
        });
        if !absent.is_empty() {
            // What it is comes before what is missing.
            return Err(match stated {
                Err(named @ PipelineError::Foreign { .. }) => named,
                _ => PipelineError::MissingParts { file: tensors.path().to_owned(), parts: absent },
            });
        }
        let (config, mut notes) = stated?;
        let architecture = Architecture::from_config(&config, &KeysOf(&tensors)).map_err(config_of(tensors.path()))?;
        notes.extend(version::check(&tensors, architecture.family)?);
        notes.extend(tensors.check_entries()?);
        notes.extend(pipeline::notes(files));
        notes.extend(scheduler::note_of(tensors.path(), &config));
        tensors.check_statements()?;
        same("latent channels", architecture.vae.latent_channels, architecture.transformer.in_channels)?;
        let (tensors, note) = version::settled(tensors, manifests_version, architecture.family);
        notes.extend(note);
        let loras = Arc::new(Loras::open(loras, &tensors)?);
        notes.extend(
            loras
                .reports()
                .iter()
                .flat_map(|report| report.notes.iter().map(|note| format!("{}: {note}", report.file.display()))),
        );
        Ok(Self { tensors: Arc::new(tensors), architecture, loras, notes })
    }

    /// Loads every part from shapes alone. What is wrong with a key is in the account, so loading itself cannot fail.
    pub(crate) fn account(&self) -> Arc<ShapeOnly> {
        let source = ShapeOnly::with_loras(Arc::clone(&self.tensors), Arc::clone(&self.loras));
        let parts: Vec<Part> = self.architecture.family.parts().iter().map(|marked| marked.part).collect();
        account(source, &self.architecture.clone().into(), &parts)
    }

    /// Major and minor number of the version that it counts as.
    pub(crate) fn version(&self) -> (u32, u32) {
        version::of(&self.tensors, self.architecture.family)
    }

    /// Refuses a text encoder of another width, depth or version. What cannot be told is noted.
    pub(crate) fn check_text_encoder(&mut self, config: &GemmaConfig) -> Result<()> {
        self.notes.extend(gemma_version::check(&self.tensors, self.version(), config)?);
        let projection = self.architecture.text().map_err(config_of(self.tensors.path()))?.projection;
        same("text encoder width", config.hidden_size, projection.hidden)?;
        same("text encoder hidden states", config.states(), projection.states)
    }
}

/// The component files of one model, opened, with their configurations as official files state them. A file of configuration may state
/// what the header of a file of weights would.
pub(crate) fn joined(files: &[PathBuf], each: Vec<TensorSet>) -> Result<TensorSet> {
    let official = |file: &Path, config: Value| official(config).map_err(config_of(file));
    TensorSet::together(files, each)?.with_entries_of_configs(&stated::ENTRIES)?.with_configs(official)
}

/// The defaults of a checkpoint without a manifest, sampled by a schedule that is a flow's where one is named: those of its family, told
/// from the checkpoint's headers. One that cannot be opened has LTX-2.3's, and so has LTX-2.5's, part of which lies with its text
/// encoder; whoever opens the files learns what is wrong.
pub fn official_defaults(files: &ModelFiles, schedule: Schedule, flow: Option<Flow>) -> Defaults {
    let family = || -> Result<Family> {
        Ok(LtxFile::open(&resolved(files)?.checkpoint_files(), &[], None)?.architecture.family)
    };
    let family = family().unwrap_or(Family::Ltx23);
    let defaults = family.defaults(schedule);
    // Its reference here is diffusers, which has one pass where none says two; its manifests state the flow so.
    let own = flow.filter(|flow| *flow == Flow::Distilled && family.conditioning() == Conditioning::Points);
    Defaults { flow: own, ..defaults }
}

/// The configurations of those parts of a checkpoint that files hold.
pub(crate) fn components(tensors: &TensorSet, config: &Value, parts: &[Part]) -> Result<Components> {
    let components = Components::from_config(config, &KeysOf(tensors), parts).map_err(config_of(tensors.path()))?;
    if let (Some(transformer), Some(vae)) = (&components.transformer, &components.vae) {
        same("latent channels", vae.latent_channels, transformer.in_channels)?;
    }
    Ok(components)
}

/// Loads `parts` from shapes alone.
pub(crate) fn account(source: Arc<ShapeOnly>, components: &Components, parts: &[Part]) -> Arc<ShapeOnly> {
    for part in parts {
        if let Err(error) = components.load(*part, &Vb::new(source.part(*part), Compute::cpu_f32())) {
            source.note(error);
        }
    }
    source
}

/// Loads a part that has a file of its own from shapes alone; its keys begin at `prefix`.
pub(crate) fn account_alone<M: Module>(tensors: &Arc<TensorSet>, prefix: &str, config: &M::Config) -> Arc<ShapeOnly> {
    let source = ShapeOnly::new(Arc::clone(tensors));
    if let Err(error) = M::load(&Vb::new(source.part(M::PART), Compute::cpu_f32()).pp(prefix), config) {
        source.note(error);
    }
    source
}

impl UpscalerFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let tensors = TensorSet::open_file(path)?;
        let config = UpsamplerConfig::from_json(&tensors.config()?).map_err(config_of(tensors.path()))?;
        let notes = tensors.check_entries()?;
        tensors.check_statements()?;
        Ok(Self { tensors: Arc::new(tensors), config, notes })
    }

    /// Refuses an upscaler that no flow of these models puts between its stages.
    ///
    /// # Errors
    /// It is another than ×2 in space.
    pub(crate) fn check_between_stages(&self) -> Result<()> {
        let why = match self.config.resampling {
            Resampling::SpaceByTwo => return Ok(()),
            Resampling::SpaceByThreeHalves => "no flow of two stages here begins at two thirds of the size",
            Resampling::TimeByTwo | Resampling::SpaceAndTimeByTwo => {
                "the authors' only flow with it (DFR) generates keyframes, which is no method here"
            }
        };
        let (file, title) = (self.tensors.path().to_owned(), self.config.resampling.title());
        Err(PipelineError::UpscalerOfNoFlow { file, title, why })
    }

    /// Loads the upscaler from shapes alone.
    pub(crate) fn account(&self) -> Arc<ShapeOnly> {
        account_alone::<Upsampler>(&self.tensors, "", &self.config)
    }
}

/// Names the file in an error about its configuration.
pub(crate) fn config_of(file: &Path) -> impl FnOnce(NnError) -> PipelineError {
    |source| PipelineError::Config { file: file.to_owned(), source }
}

/// Refuses parts that come from models of different widths.
pub(crate) fn same(part: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(PipelineError::PartsDiffer { part, found, expected }) }
}
