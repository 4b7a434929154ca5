//! `ltxd generate`: flags to a draft, through policy and the engine, to an MP4.
//!
//! Must not know how frames are computed.

mod draft;
mod summary;

use crate::{
    build,
    cache::CacheFlag,
    client::json,
    compute::{self, Asked},
    config,
    exit::BadInput,
    generation_flags::GenerationFlags,
    library,
    lora::LoraFlags,
    memory::{MemoryFlag, host_bytes},
    outputs::Written,
    progress::{Bar, StagePeaks},
};
use anyhow::{Context, Result};
use clap::Arg;
use draft::Model;
use ltx_engine::{Generator, Run, long_prompts};
use ltx_media::{FrameWriter, Mp4Writer, PngFolderWriter};
use ltx_nn::{Compute, DTYPES, DeviceChoice, Level};
use ltx_pipeline::{Engine, EngineOptions, resolved};
use ltx_policy::{Admitted, ModelIdentity, ModelNames, PolicyConfig, UsageMark, admit};
use ltx_types::{CancelToken, Generation, GenerationDraft, LoraChoice, ModelFiles, ModelRules, Stages};
use std::{path::PathBuf, process::ExitCode, time::Instant};

/// The node named in the mark of what the command line makes.
const NODE: &str = "command-line";

/// Device and precision.
#[derive(clap::Args)]
pub(crate) struct ComputeFlags {
    /// Where to compute: auto, cpu or cuda:N. auto takes the first NVIDIA GPU that this binary and this machine can use.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,
    /// Precision of weights and activations: f32, bf16 or f16; int8 is f32 with 8-bit products in the transformer's blocks. The
    /// denoising state is always f32.
    #[arg(long, default_value = "f32", value_parser = DTYPES)]
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
    let (model, names) = if library::is_path(&arguments.model) {
        (Model::from_path(arguments)?, ModelNames::new(vec![], [])) // A path needs no manifests.
    } else {
        let library = library::open(arguments.models_dir.as_deref())?;
        let names = library.names();
        (Model::named(&arguments.model, &library, &names), names)
    };
    let draft = arguments.draft(&model)?;
    let admitted = admit(&model.ask(), draft, &PolicyConfig::new(names))?;

    let stages = admitted.request().stages;
    let Opened { mut engine, files, named } = arguments.opened(&model, admitted.request(), level).or_else(|error| {
        // What no model makes is said even where this one cannot be used here.
        admitted.clone().check(&ModelRules::LTX)?;
        Err(error)
    })?;
    let long = long_prompts(admitted.request(), |text| Some(engine.prompts().tokens(text)));
    let admitted = admitted.with_faults(long).check(&engine.rules())?;
    let prints = library::fingerprints(&files).context("the model cannot be used")?;
    let weights = prints.of(admitted.request().stages, &admitted.request().loras);
    let version = engine.version_or(model.manifest().map(|manifest| manifest.version.as_str()));
    let identity = ModelIdentity { name: model.name(), version, weights };
    let mark = admitted.mark(&identity, NODE);
    let cache = arguments.cache.open()?;
    let plan = engine.plan_with(admitted.request(), &cache);
    if !arguments.json {
        eprintln!("{}", summary::intent(admitted.request(), &identity, &plan));
    }
    let opened = engine.reports().iter().flat_map(|report| report.loras.clone()).collect::<Vec<_>>();
    let loras = summary::LoraAccount::of(&named, &opened, stages);
    loras.iter().filter_map(summary::LoraAccount::warning).for_each(|warning| eprintln!("{warning}"));

    let cancel = CancelToken::new();
    let on_signal = cancel.clone();
    ctrlc::set_handler(move || on_signal.cancel()).context("signals cannot be handled")?;
    let bar = Bar::new(arguments.json);
    let peaks = StagePeaks::new(&bar);
    let started = Instant::now();
    let mut writers = arguments.writers(&admitted, &mark)?;
    let outcome =
        engine.generate(&admitted, &mut writers, &Run { progress: &peaks, cache: &cache, ..Run::quiet(&cancel) });
    bar.clear();
    let outcome = outcome?;
    cancel.check()?;
    // No time: the same request and seed give the same bytes.
    let mark = mark.completed(&outcome.frames_sha256, None);
    writers.into_iter().try_for_each(|writer| writer.finish(&mark))?;

    if cache.damaged() > 0 && !arguments.json {
        eprintln!("a kept context was damaged; it was dropped and computed again");
    }
    let stage_peaks = peaks.take();
    let summary = summary::Summary {
        arguments,
        loras: &loras,
        request: admitted.request(),
        mark: &mark,
        outcome: &outcome,
        plan: &plan,
        peak_rss_bytes: stage_peaks.iter().map(|(_, bytes)| *bytes).max().max(ltx_jobs::memory::peak_bytes()),
        stage_peaks,
        total_seconds: started.elapsed().as_secs_f64(),
    };
    if arguments.json {
        println!("{}", summary.json())
    } else {
        eprintln!("{}", summary.text())
    }
    Ok(ExitCode::SUCCESS)
}

/// A model that is open, its files, and every LoRA file that was named for it.
struct Opened {
    engine: Engine,
    files: ModelFiles,
    named: Vec<LoraChoice>,
}

impl Arguments {
    /// Refuses names that state something else than what is written under them.
    fn check_outputs(&self) -> Result<(), BadInput> {
        Written::Mp4.check("out", &self.out)?;
        self.frames_dir.as_deref().map_or(Ok(()), |folder| Written::Frames.check("frames_dir", folder))
    }

    /// The model, opened to compute as the flags say.
    fn opened(&self, model: &Model, request: &GenerationDraft, level: Level) -> Result<Opened> {
        let compute = self.compute.compute(level)?;
        let (memory, host_bytes) = (self.memory.budget(&compute), host_bytes(&compute));
        let options = EngineOptions { compute, memory, host_bytes, previews: false, ..EngineOptions::default() };
        let manifests_version = model.manifest().map(|manifest| manifest.version.clone());
        let options = EngineOptions { build: build::digest, manifests_version, ..options };
        let mut files = resolved(&model.files(&request.loras)?).context("the model cannot be used")?;
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
        Ok(Opened { engine, files, named })
    }

    /// The outputs; each is marked, and none is visible before it is finished.
    fn writers(&self, admitted: &Admitted<Generation>, mark: &UsageMark) -> Result<Vec<Box<dyn FrameWriter>>> {
        let Generation { pixels, rate, .. } = *admitted.request();
        let mut writers: Vec<Box<dyn FrameWriter>> = vec![Box::new(Mp4Writer::create(&self.out, pixels, rate)?)];
        if let Some(folder) = &self.frames_dir {
            writers.push(Box::new(PngFolderWriter::create(folder, pixels, mark)?));
        }
        Ok(writers)
    }
}
