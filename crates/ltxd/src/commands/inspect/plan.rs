//! `ltxd inspect --plan`: what memory a clip would need on a model, and how long it would take, stage by stage, before anything runs.
//!
//! Must not know how it is computed.

use crate::{
    commands::generate::ComputeFlags,
    forecast::{Forecast, Unknown},
    lora::LoraFlags,
    memory::{self, MemoryFlag},
};
use anyhow::{Context, Result};
use ltx_nn::Level;
use ltx_pipeline::{Engine, EngineOptions, PlanShape, official_defaults, told_apart};
use ltx_types::{
    FieldErrors, FrameCount, FramePosition, Generation, ImageInput, ImageSource, Method, ModelFiles, ModelRules,
    Overrides, PixelShape, Schedule, Stages, Strength,
};
use serde_json::Value;
use std::{path::PathBuf, process::ExitCode};

/// The clip, and what it is computed with.
#[derive(clap::Args)]
pub(crate) struct Clip {
    /// With --plan: pixels across.
    #[arg(long, value_name = "PIXELS")]
    width: Option<usize>,
    /// With --plan: pixels down.
    #[arg(long, value_name = "PIXELS")]
    height: Option<usize>,
    /// With --plan: frames, 8k+1.
    #[arg(long, value_name = "N")]
    frames: Option<usize>,
    /// With --plan: 1 or 2.
    #[arg(long, value_name = "N", default_value_t = 1)]
    stages: u8,
    /// With --plan: images that steer the clip.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    images: u8,
    /// With --plan: tokens of the prompt; the most by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    prompt_tokens: Option<u16>,
    /// With --plan: neither take rates of this machine that earlier commands have kept in $XDG_CACHE_HOME/ltxd, nor keep any.
    #[arg(long, env = "LTXD_NO_CACHE")]
    no_cache: bool,
    #[command(flatten)]
    compute: ComputeFlags,
    #[command(flatten)]
    memory: MemoryFlag,
}

impl Clip {
    /// A request of these sizes, everything else as the family has it on the distilled schedule.
    fn request(&self, engine: &Engine, files: &ModelFiles) -> Option<Generation> {
        let stages = Stages::try_from(self.stages).ok()?;
        let sizes = Overrides {
            width: self.width,
            height: self.height,
            frames: self.frames,
            stages: Some(stages),
            ..Overrides::default()
        };
        let image = |position| {
            let source = ImageSource::Path("image.png".into());
            ImageInput { source, position, strength: Strength::FULL }
        };
        let places = [FramePosition::First, FramePosition::Last];
        let images = places.into_iter().take(usize::from(self.images)).map(image).collect();
        let method = if self.images > 1 { Method::StartEndFrames } else { Method::ImageToVideo };
        let defaults = official_defaults(files, Schedule::Distilled, None);
        // An upscaler that is not among the files, and a length that the model was not trained on, are planned as well.
        let rules = ModelRules { two_stages: None, trained_seconds: None, ..engine.rules() };
        defaults.fill(sizes, String::new(), images).check_by(&rules, method).ok()
    }
}

pub(super) fn print(
    (files, loras): (&[PathBuf], &LoraFlags),
    clip: &Clip,
    json: bool,
    level: Level,
) -> Result<ExitCode> {
    let stages = Stages::try_from(clip.stages)?;
    FieldErrors::none(loras.unread(stages).collect())?;
    let (compute, memory) = (clip.compute.compute(level)?, clip.memory.said());
    let options = EngineOptions { compute: compute.clone(), memory, previews: false, ..EngineOptions::default() };
    let files = ModelFiles { loras: loras.loras.clone(), ..told_apart(files)? };
    let engine = Engine::open(&files, options).context("the model cannot be used")?;
    let sizes = engine.rules().sizes;
    let pixels = PixelShape { width: clip.width.unwrap_or(0), height: clip.height.unwrap_or(0) };
    let frames = FrameCount::by_rules(clip.frames.unwrap_or(0), &sizes)?;
    let mut shape = PlanShape::of_clip(pixels.checked(stages, &sizes)?, frames, stages);
    shape.images = usize::from(clip.images);
    if let Some(tokens) = clip.prompt_tokens {
        shape.prompts = vec![usize::from(tokens)];
    }
    let plan = engine.plan_shape(&shape);
    let known = (!clip.no_cache, Unknown::Measure);
    let forecast = match clip.request(&engine, &files) {
        Some(request) => Forecast::of(&engine, (&request, &shape), &compute, known)?,
        None => None,
    };
    match json {
        true => {
            let mut said = memory::as_json(&plan);
            said["forecast"] = forecast.map_or(Value::Null, |forecast| forecast.json());
            println!("{said}")
        }
        false => {
            println!("{}", memory::table(&plan));
            forecast.iter().for_each(|forecast| println!("{}", forecast.text()));
        }
    }
    Ok(if plan.fits() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}
