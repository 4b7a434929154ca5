//! `ltxd inspect`: what a file is, its parts, and every key accounted for.
//!
//! Must not know the list of keys; the models' own `load()` is run on shapes.

use crate::resident::human;
use anyhow::Result;
use ltx_pipeline::{Inspected, inspect};
use ltx_weights::Tally;
use serde_json::{Value, json};
use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Checkpoints, upscalers (safetensors) or Gemma-3 folders.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print JSON, one object per file.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut complete = true;
    for file in &arguments.files {
        let inspected = inspect(file)?;
        complete &= inspected.report.is_complete();
        if arguments.json {
            println!("{}", as_json(&inspected))
        } else {
            print(&inspected)
        }
        for problem in &inspected.report.problems {
            eprintln!("ltxd: {}: {problem}", file.display());
        }
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn print(Inspected { path, kind, version, sizes, report }: &Inspected) {
    let version = version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    println!("{}: {kind}{version}", path.display());
    println!("  {sizes}");
    let line = |name: &str, tally: Tally| {
        let Tally { tensors, parameters, bytes } = tally;
        println!("  {name:<22} {tensors:>6} tensors {:>14} parameters {:>10}", grouped(parameters), human(bytes));
    };
    for (part, tally) in &report.used {
        line(part, *tally);
    }
    for (name, tally) in [("audio, left on disk", report.audio), ("vision, left on disk", report.vision)] {
        if tally != Tally::default() {
            line(name, tally);
        }
    }
    line("all", report.total);
    println!(
        "  keys {} = {} used + {} audio + {} vision, {} unknown, {} missing, {} other problems",
        report.total.tensors,
        report.used_total().tensors,
        report.audio.tensors,
        report.vision.tensors,
        report.unknown(),
        report.missing(),
        report.problems.len() - report.unknown() - report.missing()
    );
}

fn as_json(Inspected { path, kind, version, sizes, report }: &Inspected) -> Value {
    json!({
        "path": path,
        "kind": kind,
        "version": version,
        "sizes": sizes,
        "keys_total": report.total.tensors,
        "keys_used": report.used_total().tensors,
        "keys_audio": report.audio.tensors,
        "keys_skipped": report.vision.tensors,
        "keys_unknown": report.unknown(),
        "keys_missing": report.missing(),
        "report": report,
    })
}

/// `13_120_000` as `13 120 000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}
