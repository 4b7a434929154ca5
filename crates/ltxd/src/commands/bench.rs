//! `ltxd bench`, hidden: the stages of a case on request, a line of JSON in, a line of JSON out. `scripts/bench` is at the
//! other end. Writes no output but the dumps it is asked for.
//!
//! Must not know what it is compared with.

use crate::{allocator, commands::generate::ComputeFlags, compute, memory::most_of};
use anyhow::{Context, Result};
use ltx_nn::{
    Level,
    profile::{self, Cost},
};
use ltx_pipeline::{
    EngineOptions,
    bench::{Bench, BenchStage},
    golden::GoldenCase,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::HashMap, io::BufRead, path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A folder with a `case.json`; its tensors are not read.
    #[arg(value_name = "CASE")]
    case: PathBuf,
    /// Draw the weights on the device; of the files only headers are read.
    #[arg(long)]
    random_weights: bool,
    #[command(flatten)]
    compute: ComputeFlags,
}

/// One line of standard input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    /// Absent: drop the weights that are loaded.
    stage: Option<BenchStage>,
    /// Takes the place of the case's prompt.
    prompt: Option<String>,
    /// Whether to say where the time went, by operator.
    #[serde(default)]
    profile: bool,
    /// Where to write what the stage computed, as `output` in a safetensors file.
    dump: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, level: Level) -> Result<ExitCode> {
    let case = GoldenCase::open(&arguments.case)?;
    let compute = arguments.compute.compute(level)?;
    let random_weights = arguments.random_weights;
    // On a GPU its free memory decides how the decoder's tiles are cut; on the CPU nothing is streamed.
    let memory = compute::gpu_free_bytes(&compute).and_then(|free| most_of(Some(free)));
    let options = EngineOptions { compute: compute.clone(), random_weights, memory, ..EngineOptions::default() };
    let mut bench = Bench::open(case, options)?;
    for line in std::io::stdin().lock().lines() {
        let ask: Ask = serde_json::from_str(&line?).context("standard input")?;
        let seconds = match ask.stage {
            None => {
                bench.release()?;
                allocator::release();
                None
            }
            Some(stage) => {
                if ask.profile {
                    profile::start(&compute.device);
                }
                let timed = bench.run(stage, ask.prompt.as_deref())?;
                if let Some(file) = ask.dump {
                    let tensors = HashMap::from([("output", timed.output)]);
                    candle_core::safetensors::save(&tensors, &file)
                        .with_context(|| format!("{}: cannot be written", file.display()))?;
                }
                Some(timed.seconds)
            }
        };
        let mut answer = json!({
            "seconds": seconds,
            "peak_bytes": ltx_jobs::memory::peak_bytes(),
            // Freed memory stays with the process, so this is the most that was in use, with what others use.
            "gpu_bytes": compute::gpu_used_bytes(&compute),
        });
        if ask.profile {
            let costs = profile::take().into_iter();
            let row = |(name, c): (&str, Cost)| {
                (name.to_owned(), json!({ "calls": c.calls, "seconds": c.seconds, "operations": c.operations }))
            };
            answer["profile"] = Value::Object(costs.map(row).collect());
        }
        println!("{answer}");
    }
    Ok(ExitCode::SUCCESS)
}
