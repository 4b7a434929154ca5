//! `ltxd generate`: flags to a draft, through policy and the engine, to an MP4.
//!
//! Must not know how frames are computed.

mod clip;
mod draft;
mod summary;

use crate::{
    build,
    cache::CacheFlag,
    client::json,
    compute::{self, Asked},
    config,
    exit::{self, BadInput},
    forecast::{Forecast, Unknown},
    generation_flags::GenerationFlags,
    library,
    lora::LoraFlags,
    memory::{MemoryFlag, host_bytes},
    outputs::Written,
    provenance::ProvenanceFlags,
    several::SeveralFlags,
};
use anyhow::{Context, Result};
use clap::Arg;
use clip::{Clip, Files};
use draft::Model;
use ltx_engine::long_prompts;
use ltx_jobs::TensorCache;
use ltx_nn::{Compute, DTYPES, DeviceChoice, Level};
use ltx_pipeline::{Engine, EngineOptions, left_alone_in, resolved};
use ltx_policy::{ModelIdentity, ModelNames, PolicyConfig, admit};
use ltx_types::{CancelToken, GenerationDraft, LoraChoice, ModelFiles, ModelRules, Outputs, Seed, Stages};
use std::{path::PathBuf, process::ExitCode};

/// The node named in the mark of what the command line makes.
const NODE: &str = "command-line";

/// Device and precision.
#[derive(clap::Args)]
pub(crate) struct ComputeFlags {
    /// Where to compute: auto, cpu or cuda:N. auto takes the first NVIDIA GPU that this binary and this machine can use.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,
    /// Precision of weights and activations: f32, bf16 or f16; int8 is f32 with 8-bit products in the transformer's blocks, and in the
    /// language model where its weights are stored in 8 bits or fewer; auto is f32, and on the CPU int8 for weights that are stored so.
    /// The denoising state is always f32.
    #[arg(long, default_value = "auto", value_parser = DTYPES)]
    dtype: String,
}

impl ComputeFlags {
    /// Opens the device; says on standard error why a GPU was passed over.
    pub(crate) fn compute(&self, level: Level) -> Result<Compute> {
        let (device, dtype, cuda) = (self.device, self.dtype.as_str(), config::cuda_of_environment()?);
        let compute::Opened { compute, passed_over } = compute::open(&Asked { device, dtype, level, cuda })?;
        if let Some(error) = passed_over {
            eprintln!("computing on the CPU: {error}");
        }
        Ok(compute)
    }
}

#[derive(clap::Args)]
#[command(mut_args(here))]
pub(crate) struct Arguments {
    #[command(flatten)]
    generation: GenerationFlags,
    #[command(flatten)]
    several: SeveralFlags,
    /// A model's name (see `ltxd models`), or the path of a checkpoint or of a folder with one.
    #[arg(long, env = "LTXD_MODEL", default_value = library::DEFAULT_MODEL, value_name = "NAME|FILE")]
    model: String,
    /// A further file of the checkpoint, when --model is a path to one component of it (transformer, VAE, connector, text
    /// projection; a .json states the configuration). Can be given more than once.
    #[arg(long = "component", value_name = "FILE")]
    components: Vec<PathBuf>,
    /// The text encoder (Gemma; T5 of LTX-Video), a folder, or its GGUF or safetensors file, when --model is a path.
    #[arg(long, value_name = "DIR|FILE")]
    text_encoder: Option<PathBuf>,
    /// The ×2 latent upscaler, when --model is a path; needed for two stages.
    #[arg(long, value_name = "FILE")]
    upscaler: Option<PathBuf>,
    #[command(flatten)]
    loras: LoraFlags,
    /// Folder of model manifests.
    #[arg(long, env = "LTXD_MODELS", value_name = "DIR")]
    models_dir: Option<PathBuf>,
    /// The MP4 to write; its name ends in .mp4.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Also write every frame as a PNG into this new folder.
    #[arg(long, value_name = "DIR")]
    frames_dir: Option<PathBuf>,
    /// Print a summary as JSON on standard output, and no progress.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compute: ComputeFlags,
    #[command(flatten)]
    memory: MemoryFlag,
    #[command(flatten)]
    cache: CacheFlag,
    #[command(flatten)]
    provenance: ProvenanceFlags,
}

/// How the flags of a generation differ where it is made here.
fn here(flag: Arg) -> Arg {
    match flag.get_id().as_str() {
        "prompt" => flag.required(true),
        "schedule" => flag.help(
            "Sampling schedule: what the weights were trained for. Taken from the manifest when the model is named",
        ),
        "image_crf" => {
            flag.help("H.264 round trip of the images, 0 (off) to 51; models are trained on compressed frames")
        }
        "seed" => flag
            .help("Seeds the noise; the same seed means the same noise as PyTorch's CPU generator")
            .default_value("0"),
        _ => flag,
    }
}

pub(crate) fn run(arguments: &Arguments, level: Level) -> Result<ExitCode> {
    json::with_violations(make(arguments, level), arguments.json)
}

fn make(arguments: &Arguments, level: Level) -> Result<ExitCode> {
    arguments.check_outputs()?;
    // Before anything is computed: a key that cannot sign is said at once.
    let credentials = arguments.provenance.open()?;
    let (model, names) = if library::is_path(&arguments.model) {
        (Model::from_path(arguments)?, ModelNames::new(vec![], [])) // A path needs no manifests.
    } else {
        let library = library::open(arguments.models_dir.as_deref())?;
        let names = library.names();
        (Model::named(&arguments.model, &library, &names), names)
    };
    let (mut draft, policy) = (arguments.draft(&model)?, PolicyConfig::new(names));
    let outputs = arguments.several.outputs().unwrap_or_else(|fault| {
        draft.faults.push(fault);
        Outputs::One
    });
    let (seed, further) = outputs.seeds(draft.seed);
    let with_seed = |seed| admit(&model.ask(), GenerationDraft { seed, ..draft.clone() }, &policy);
    let admitted = with_seed(seed)?.with_faults(arguments.image_faults());

    let stages = admitted.request().stages;
    let cache = arguments.cache.open(1 + further.len())?;
    let Opened { mut engine, files, named, compute } =
        arguments.opened(&model, admitted.request(), (1 + further.len(), &cache), level).or_else(|error| {
            // What no model makes is said even where this one cannot be used here.
            admitted.clone().check(&ModelRules::LTX)?;
            Err(error)
        })?;
    let long = long_prompts(admitted.request(), |text| Some(engine.prompts().tokens(text)));
    let mut clips = vec![admitted.with_faults(long).check(&engine.rules())?];
    for seed in further {
        clips.push(with_seed(seed)?.check(&engine.rules())?);
    }
    let first = clips[0].request();
    let prints = library::fingerprints(&files).context("the model cannot be used")?;
    let weights = prints.of(first.stages, &first.loras);
    let version = engine.version_or(model.manifest().map(|manifest| manifest.version.as_str()));
    let identity = ModelIdentity {
        name: model.name(),
        version,
        weights,
        eight_bit: engine.multiplies_in_8_bits(),
        diffusion_decoder: engine.draws_frames(),
    };
    let shape = engine.shape_with(first, &cache);
    let plan = engine.plan_shape(&shape);
    let cancel = CancelToken::new();
    let on_signal = cancel.clone();
    ctrlc::set_handler(move || on_signal.cancel()).context("signals cannot be handled")?;
    // What reads JSON is told without waiting for rates, and what keeps nothing does not measure for nothing.
    let keeps = arguments.cache.keeps();
    let unknown = if arguments.json || !keeps { Unknown::Leave } else { Unknown::Measure };
    let forecast = Forecast::of(&engine, (first, &shape), &compute, (keeps, unknown))?;
    cancel.check()?;
    if !arguments.json {
        eprintln!("{}", summary::intent(first, &identity, (&plan, forecast.as_ref())));
    }
    let opened = engine.reports().iter().flat_map(|report| report.loras.clone()).collect::<Vec<_>>();
    let loras = summary::LoraAccount::of(&named, &opened, stages);
    loras.iter().filter_map(summary::LoraAccount::warning).for_each(|warning| eprintln!("{warning}"));

    let told = (&plan, forecast.as_ref());
    let clip =
        Clip { arguments, identity: &identity, cache: &cache, told, loras: &loras, cancel: &cancel, credentials };
    // Of several, one that fails leaves the others alone; the first one's code is the command's.
    let (several, mut code) = (clips.len() > 1, None);
    for (at, admitted) in clips.iter().enumerate() {
        let seed = admitted.request().seed;
        if several && !arguments.json {
            eprintln!("clip {} of {}, seed {seed}", at + 1, clips.len());
        }
        match clip.make(&mut engine, admitted, several) {
            Err(error) if several => {
                cancel.check()?;
                let failed = exit::report(&error.context(format!("seed {seed}")));
                code.get_or_insert(failed);
            }
            made => made?,
        }
    }
    Ok(code.unwrap_or(ExitCode::SUCCESS))
}

/// A model that is open, its files, and every LoRA file that was named for it.
struct Opened {
    engine: Engine,
    files: ModelFiles,
    named: Vec<LoraChoice>,
    compute: Compute,
}

impl Arguments {
    /// Refuses names that state something else than what is written under them, and names that are taken.
    fn check_outputs(&self) -> Result<(), BadInput> {
        Written::Mp4.check_name("out", &self.out)?;
        self.frames_dir.as_deref().map_or(Ok(()), |folder| Written::Frames.check_name("frames_dir", folder))?;
        // What is wrong with seeds is said with everything else.
        let seeds = self.several.outputs().map(|outputs| outputs.seeds(Seed(self.generation.seed.unwrap_or_default())));
        let seeds = seeds.map_or_else(|_| vec![], |(first, further)| [vec![first], further].concat());
        let several = seeds.len() > 1;
        for files in seeds.into_iter().map(|seed| Files::of(self, several.then_some(seed))) {
            Written::Mp4.check_place("out", &files.out)?;
            files.frames_dir.map_or(Ok(()), |folder| Written::Frames.check_place("frames_dir", &folder))?;
        }
        Ok(())
    }

    /// The model, opened to compute as the flags say. Where it makes several clips, its weights stay between them, if the memory holds
    /// them beside everything else.
    fn opened(
        &self,
        model: &Model,
        request: &GenerationDraft,
        (clips, cache): (usize, &TensorCache),
        level: Level,
    ) -> Result<Opened> {
        let compute = self.compute.compute(level)?;
        let (memory, host_bytes) = (self.memory.budget(&compute), host_bytes(&compute));
        let options =
            EngineOptions { compute: compute.clone(), memory, host_bytes, previews: false, ..EngineOptions::default() };
        // Between clips lie the weights that have room, and what they share.
        let (resident_bytes, beside_bytes) = if clips > 1 { (u64::MAX, cache.held_bytes()) } else { (0, 0) };
        let manifests_version = model.manifest().map(|manifest| manifest.version.clone());
        let options =
            EngineOptions { build: build::digest, resident_bytes, beside_bytes, manifests_version, ..options };
        let named = model.files(&request.loras)?;
        let mut files = resolved(&named).context("the model cannot be used")?;
        left_alone_in(&named, &files).iter().for_each(|note| eprintln!("{note}"));
        files.loras.extend(self.loras.loras.iter().cloned());
        let named = files.loras.iter().map(|lora| {
            let used = request.loras.iter().find(|used| lora.name.as_ref() == Some(&used.name));
            let strengths = used.map_or(lora.strengths, |used| used.strengths(lora.strengths));
            LoraChoice { strengths, ..lora.clone() }
        });
        let named = named.collect();
        if request.stages == Stages::One {
            files.loras.retain(|lora| !lora.is_of_second_stage());
        }
        let engine = Engine::open(&files, options).context("the model cannot be used")?;
        if let Some(manifest) = model.manifest() {
            engine.expect_family(&manifest.family).context("the model cannot be used")?;
        }
        engine.notes().for_each(|note| eprintln!("{note}"));
        Ok(Opened { engine, files, named, compute })
    }
}
