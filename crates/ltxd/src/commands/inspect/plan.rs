//! `ltxd inspect --plan`: what memory a clip would need on a model, stage by stage, before anything runs.
//!
//! Must not know how it is computed.

use crate::{
    commands::generate::ComputeFlags,
    lora::LoraFlags,
    memory::{self, MemoryFlag},
};
use anyhow::{Context, Result};
use ltx_nn::Level;
use ltx_pipeline::{Engine, EngineOptions, PlanShape, told_apart};
use ltx_types::{FieldErrors, FrameCount, ModelFiles, PixelShape, Stages};
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
    #[command(flatten)]
    compute: ComputeFlags,
    #[command(flatten)]
    memory: MemoryFlag,
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
    let options = EngineOptions { compute, memory, previews: false, ..EngineOptions::default() };
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
    match json {
        true => println!("{}", memory::as_json(&plan)),
        false => println!("{}", memory::table(&plan)),
    }
    Ok(if plan.fits() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}
