//! The node's models: opened once to be asked about, and again on the device thread to run.
//!
//! Must not know requests or clients.

use super::{
    memory::{Configured, NodeMemory},
    rates::NodeRates,
};
use crate::{
    build,
    compute::{self, Asked},
    config::NodeConfig,
    exit::BadInput,
    library,
};
use anyhow::{Context, Result};
use ltx_catalog::{Fingerprints, ModelLibrary};
use ltx_engine::{CacheKey, EngineError, Generator, MemoryPlan, PromptTokens};
use ltx_jobs::{KnownRates, LoadError, Models};
use ltx_nn::{Compute, Level};
use ltx_pipeline::{Engine, EngineOptions, PlanShape, Prompts, RateMeter, left_alone_in, resolved};
use ltx_policy::{ModelIdentity, ModelNames, WeightFingerprint};
use ltx_server::{Catalog, ModelCard};
use ltx_types::{
    Defaults, FramePosition, Generation, ImageInput, ImageSource, Method, ModelFiles, ModelRules, Overrides, StageWork,
    Stages, Strength,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a node holds that a command does not, in bytes: the server's threads and buffers, the database, the planner's headers, the
/// latent on its way to the disk, the images that frames are compared with at the end. Measured: resident memory of a node above
/// `generate`'s at 256×256×17, 512×384×33 and 768×512×49.
const NODE_BYTES: u64 = 12 << 20;

/// A model whose files are open and accounted for; no weight of it is read.
struct Opened {
    files: ModelFiles,
    version: String,
    /// Whether products of its blocks or of its language model are in 8 bits.
    eight_bit: bool,
    diffusion_decoder: bool,
    /// They are completed while the node serves.
    prints: Mutex<Fingerprints>,
    /// Stages of a request that says nothing.
    stages: Stages,
    /// What requests for it are held against.
    rules: ModelRules,
    /// Requests that need every kind of work that its requests may: a clip of its own defaults, in one stage and in two.
    usual: Vec<Generation>,
    /// Mapped files and their headers, to plan with.
    planner: Mutex<Engine>,
    /// Its tokenizer, which the planner and the engine on the device share.
    prompts: Prompts,
}

/// Every model that is served, by name.
pub(crate) struct NodeModels {
    opened: BTreeMap<String, Opened>,
    options: EngineOptions,
    admitted_bytes: Option<u64>,
    rates: NodeRates,
}

/// What a start learns about the models.
pub(crate) struct Known {
    pub(crate) models: NodeModels,
    pub(crate) names: ModelNames,
    pub(crate) catalog: Catalog,
    /// The served ones' names as their manifests have them, the default first.
    pub(crate) served: Vec<String>,
}

/// Reads the manifests and opens what is to be served.
pub(crate) fn open(config: &NodeConfig, level: Level) -> Result<Known> {
    let engine = &config.engine;
    let asked = Asked { device: engine.device, dtype: &engine.dtype, level, cuda: engine.cuda };
    let compute::Opened { compute, passed_over } = compute::open(&asked)?;
    if let Some(error) = passed_over {
        tracing::warn!(%error, "computing on the CPU");
    }
    open_these(&config.models.served, config, compute)
}

/// The same with these models instead of the configured ones, on a device that is open.
pub(crate) fn open_these(wanted: &[String], config: &NodeConfig, compute: Compute) -> Result<Known> {
    let folder = library::folder(config.models.folder.as_deref())?;
    let library = library::open(Some(&folder))?;
    let names = names(&library, config);
    let resident = config.engine.limits.resident_bytes;
    let said = Configured { generation: config.jobs.limits.memory_bytes, resident };
    let NodeMemory { budget, admitted_bytes, resident_bytes, host_bytes } = NodeMemory::of(said, &compute);
    let options = EngineOptions { compute, resident_bytes, memory: budget, host_bytes, ..EngineOptions::default() };
    let beside_bytes = NODE_BYTES + config.jobs.cache.held_bytes();
    let options = EngineOptions { beside_bytes, build: build::digest, ..options };
    let rates = NodeRates::of(&options.compute);
    let mut models = NodeModels { opened: BTreeMap::new(), options, admitted_bytes, rates };
    let mut served = Vec::new();
    let mut tokenizers: BTreeMap<PathBuf, Prompts> = BTreeMap::new();
    let mut cards = Vec::new();
    for asked in wanted {
        let manifest = names.find(asked).and_then(|known| library.manifest(known.name()));
        let manifest = manifest.ok_or_else(|| {
            let known: Vec<_> = names.known().iter().map(|model| model.name()).collect();
            BadInput(format!(
                "models = {asked}: has no manifest in {}; there are: {}",
                folder.display(),
                known.join(", ")
            ))
        })?;
        if served.contains(&manifest.name) {
            return Err(BadInput(format!("models: {} stands there twice", manifest.name)).into());
        }
        let cannot = || format!("the model {} cannot be used", manifest.name);
        let named = library.files_of(manifest).with_context(cannot)?;
        let files = resolved(&named).with_context(cannot)?;
        left_alone_in(&named, &files).iter().for_each(|note| tracing::info!(model = manifest.name, "{note}"));
        // Models that share a text encoder share its tokenizer, too.
        let known = tokenizers.get(&files.text_encoder).cloned();
        let options = models.options_for(&manifest.version);
        let planner = Engine::open_sharing(&files, options, known).with_context(cannot)?;
        let prompts = planner.prompts().clone();
        tokenizers.insert(files.text_encoder.clone(), prompts.clone());
        planner.expect_family(&manifest.family).with_context(cannot)?;
        planner.notes().for_each(|note| tracing::info!(model = manifest.name, "{note}"));
        for lora in planner.reports().iter().flat_map(|report| &report.loras) {
            if let Some(idle) = lora.idle {
                tracing::warn!(model = manifest.name, lora = %lora.file.display(), "a LoRA changes nothing: {idle}");
            }
        }
        let prints = library::fingerprints(&files).with_context(cannot)?;
        let version = planner.version_or(Some(&manifest.version));
        let (rules, stages) = (planner.rules(), manifest.defaults.stages);
        let usual = usual_requests(&manifest.defaults, &rules);
        cards.push(ModelCard { manifest: manifest.clone(), weights: Some(prints.of(stages, &[])) });
        served.push(manifest.name.clone());
        models.opened.insert(
            manifest.name.clone(),
            Opened {
                files,
                version,
                eight_bit: planner.multiplies_in_8_bits(),
                diffusion_decoder: planner.draws_frames(),
                prints: Mutex::new(prints),
                stages,
                rules,
                usual,
                planner: Mutex::new(planner),
                prompts,
            },
        );
    }
    let others = library.manifests().iter().filter(|manifest| !served.contains(&manifest.name));
    cards.extend(others.cloned().map(ModelCard::from));
    Ok(Known { models, names, catalog: Catalog::new(cards)?, served })
}

/// A clip of a model's own defaults, in one stage and in two; those of them that it can make.
fn usual_requests(defaults: &Defaults, rules: &ModelRules) -> Vec<Generation> {
    let image = || ImageInput {
        source: ImageSource::Path("start.png".into()),
        position: FramePosition::First,
        strength: Strength::FULL,
    };
    let of = |stages| {
        let said = Overrides { stages: Some(stages), ..Overrides::default() };
        defaults.fill(said, String::new(), vec![image()]).check_by(rules, Method::ImageToVideo).ok()
    };
    [Stages::One, Stages::Two].into_iter().filter_map(of).collect()
}

fn names(library: &ModelLibrary, config: &NodeConfig) -> ModelNames {
    ModelNames::new(library.names().known().to_vec(), config.models.policy.external_models.iter().cloned())
}

impl NodeModels {
    /// How the engine of a model computes whose manifest states this version.
    fn options_for(&self, version: &str) -> EngineOptions {
        EngineOptions { manifests_version: Some(version.to_owned()), ..self.options.clone() }
    }

    /// Where they compute.
    pub(crate) fn compute(&self) -> &Compute {
        &self.options.compute
    }

    /// Takes the rates that are kept in a folder, and keeps there what is measured from now on.
    pub(crate) fn keep_rates_in(&self, folder: &Path) {
        self.rates.keep_in(folder, self.opened.keys());
    }

    /// Bytes that a request may need to be admitted; `None` where nobody knows how much there is.
    pub(crate) fn admitted_bytes(&self) -> Option<u64> {
        self.admitted_bytes
    }

    /// Adds the digest of the whole checkpoint, for every mark from now on; returns the fingerprint of a request that says nothing.
    /// Takes minutes.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn complete_fingerprint(&self, model: &str) -> io::Result<Option<WeightFingerprint>> {
        let Some(Opened { files, prints, stages, .. }) = self.opened.get(model) else { return Ok(None) };
        let known = prints.lock().clone();
        let complete = known.with_contents(files)?;
        let usual = complete.of(*stages, &[]);
        *prints.lock() = complete;
        Ok(Some(usual))
    }
}

impl Models for NodeModels {
    fn load(&self, model: &str) -> Result<Box<dyn Generator>, LoadError> {
        let Opened { files, prompts, version, .. } = self.opened.get(model).ok_or(LoadError::NotHere)?;
        let engine = Engine::open_sharing(files, self.options_for(version), Some(prompts.clone()));
        Ok(Box::new(engine.map_err(EngineError::from)?))
    }

    fn identity(&self, model: &str, request: &Generation) -> Option<ModelIdentity> {
        let Opened { version, prints, eight_bit, diffusion_decoder, .. } = self.opened.get(model)?;
        let weights = prints.lock().of(request.stages, &request.loras);
        let (eight_bit, diffusion_decoder) = (*eight_bit, *diffusion_decoder);
        Some(ModelIdentity { name: model.to_owned(), version: version.clone(), weights, eight_bit, diffusion_decoder })
    }

    fn rules(&self, model: &str) -> Option<ModelRules> {
        self.opened.get(model).map(|opened| opened.rules)
    }

    fn plan(&self, model: &str, request: &Generation) -> Option<MemoryPlan> {
        let opened = self.opened.get(model)?;
        let shape = PlanShape::of(request, &opened.prompts);
        Some(opened.planner.lock().plan_shape(&shape))
    }

    fn work(&self, model: &str, request: &Generation, loaded: bool) -> Option<Vec<StageWork>> {
        let opened = self.opened.get(model)?;
        let shape = PlanShape::of(request, &opened.prompts);
        Some(opened.planner.lock().work(request, &shape, loaded))
    }

    fn rates(&self) -> Option<Arc<KnownRates>> {
        self.rates.known()
    }

    fn measure_rates(&self) -> bool {
        self.rates.measure(|model, (known, folder)| {
            let Opened { planner, usual, .. } = self.opened.get(model)?;
            let planner = planner.lock();
            let meters = usual.iter().map(|request| RateMeter::of_request(&planner, request, (known, folder)));
            meters.reduce(RateMeter::and)
        })
    }

    fn context_keys(&self, model: &str, request: &Generation) -> Vec<CacheKey> {
        let Some(opened) = self.opened.get(model) else { return Vec::new() };
        // Counts the tokens and reads the program, both of which are remembered, before anybody else has to wait.
        PlanShape::of(request, &opened.prompts);
        build::digest();
        opened.planner.lock().context_keys(request)
    }

    fn prompt_tokens(&self, model: &str, prompt: &str) -> Option<PromptTokens> {
        Some(self.opened.get(model)?.prompts.tokens(prompt))
    }

    fn resident_bytes(&self, model: &str) -> u64 {
        self.opened.get(model).map_or(0, |opened| opened.planner.lock().resident_bytes())
    }
}
