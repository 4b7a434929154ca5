//! `ltxd selftest`: golden cases against this engine. Writes no output but the dump.
//!
//! Must not know how cases are run.

use crate::{commands::generate::ComputeFlags, exit::BadInput, outputs::Written};
use anyhow::{Context, Result};
use ltx_engine::Run;
use ltx_nn::Level;
use ltx_pipeline::{
    EngineOptions,
    golden::{Comparison, Golden, GoldenResult},
};
use ltx_types::CancelToken;
use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
#[command(mut_arg("dtype", |dtype| dtype.default_value("f32")))]
pub(crate) struct Arguments {
    /// Folders with a `case.json`.
    #[arg(required = true, value_name = "CASE")]
    cases: Vec<PathBuf>,
    /// Write everything computed as safetensors, under the goldens' names; takes a single case.
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    #[command(flatten)]
    compute: ComputeFlags,
}

pub(crate) fn run(arguments: &Arguments, level: Level) -> Result<ExitCode> {
    if arguments.dump.is_some() && arguments.cases.len() != 1 {
        return Err(BadInput("--dump takes a single case".into()).into());
    }
    if let Some(file) = &arguments.dump {
        Written::Safetensors.check("dump", file)?;
    }
    let compute = arguments.compute.compute(level)?;
    let cancel = CancelToken::new();
    let mut failed = 0;
    for folder in &arguments.cases {
        let case = Golden::open(folder)?;
        let options = EngineOptions { compute: compute.clone(), ..EngineOptions::default() };
        let run = Run::quiet(&cancel);
        let result = { case.run(options, &run) }.with_context(|| format!("case {}", folder.display()))?;
        print(&folder.display().to_string(), &result);
        failed += usize::from(!result.passes());
        if let Some(file) = &arguments.dump {
            candle_core::safetensors::save(&result.computed, file)
                .with_context(|| format!("{}: the dump cannot be written", file.display()))?;
        }
    }
    println!("selftest: {} passed, {failed} failed", arguments.cases.len() - failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(name: &str, result: &GoldenResult) {
    println!("{name}");
    for comparison in &result.comparisons {
        let Comparison { name, error, tolerance, problem } = comparison;
        let verdict = if comparison.passes() { "ok" } else { "FAILED" };
        let problem = problem.as_deref().map(|problem| format!("  {problem}")).unwrap_or_default();
        println!("  {name:<40} {error:>10.2e}  (at most {tolerance:.0e})  {verdict}{problem}");
    }
    let worst = result.comparisons.iter().map(|comparison| comparison.error).fold(0.0, f64::max);
    let verdict = if result.passes() { "passed" } else { "FAILED" };
    println!("  {} tensors, largest relative L2 error {worst:.2e}: {verdict}", result.comparisons.len());
}
