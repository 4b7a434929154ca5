//! `ltxd inspect`: what a file is, its parts, and every key accounted for.
//!
//! Must not know the list of keys; the models' own `load()` is run on shapes.

mod plan;

use crate::{human::human, lora::LoraFlags};
use anyhow::Result;
use ltx_nn::Level;
use ltx_pipeline::{Inspected, inspect, inspect_together};
use ltx_weights::{LoraReport, Tally};
use serde_json::{Value, json};
use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Checkpoints, components of one, upscalers (safetensors or GGUF), or text encoders (Gemma, T5), folders or files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Take the files for components of one checkpoint; a .json among them states the configuration.
    #[arg(long)]
    together: bool,
    #[command(flatten)]
    loras: LoraFlags,
    /// Print JSON, one object per file.
    #[arg(long)]
    json: bool,
    /// Say what memory a clip would need, stage by stage. The files are then those of one model: checkpoint or components, a
    /// text encoder, and an upscaler for two stages.
    #[arg(long, requires_all = ["width", "height", "frames"], conflicts_with = "together")]
    plan: bool,
    #[command(flatten)]
    clip: plan::Clip,
}

pub(crate) fn run(arguments: &Arguments, level: Level) -> Result<ExitCode> {
    if arguments.plan {
        return plan::print((&arguments.files, &arguments.loras), &arguments.clip, arguments.json, level);
    }
    let mut complete = true;
    let together = arguments.together || !arguments.loras.loras.is_empty();
    let all = if together { &arguments.files[..1] } else { &arguments.files[..] };
    for file in all {
        let inspected =
            if together { inspect_together(&arguments.files, &arguments.loras.loras)? } else { inspect(file)? };
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

fn print(Inspected { path, kind, formats, version, sizes, absent, notes, report }: &Inspected) {
    let version = version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    println!("{}: {kind}{version} ({})", path.display(), formats.join(", "));
    println!("  {sizes}");
    notes.iter().for_each(|note| println!("  {note}"));
    let line = |name: &str, tally: Tally| {
        let Tally { tensors, parameters, bytes } = tally;
        println!("  {name:<22} {tensors:>6} tensors {:>14} parameters {:>10}", grouped(parameters), human(bytes));
    };
    for (part, tally) in &report.used {
        line(part.name(), *tally);
        let types = report.stored.get(part).into_iter().flatten();
        // What is all of one usual type needs no line.
        for (stored, tally) in
            types.filter(|(stored, of_type)| *of_type != tally || !["BF16", "F16", "F32"].contains(stored))
        {
            let bits = tally.bytes as f64 * 8.0 / tally.parameters.max(1) as f64;
            line(&format!("  {stored}, {bits} bits"), *tally);
        }
    }
    for (name, tally) in [
        ("audio, left on disk", report.audio),
        ("vision, left on disk", report.vision),
        ("duration, left on disk", report.duration),
        ("keyframes and coarse frames, left on disk", report.decoders_other),
        ("scales", report.scales),
        ("  of inputs, not needed", report.idle_scales),
    ] {
        if tally != Tally::default() {
            line(name, tally);
        }
    }
    line("all", report.total);
    for lora in &report.loras {
        let LoraReport { file, name, weights, ranks, scales, used, audio, idle, notes, .. } = lora;
        let ranks = if ranks.0 == ranks.1 { ranks.0.to_string() } else { format!("{} to {}", ranks.0, ranks.1) };
        let scales = if scales.0 == scales.1 { scales.0.to_string() } else { format!("{} to {}", scales.0, scales.1) };
        let (file, strengths) = (file.display(), lora.strengths());
        let name = name.as_deref().map(|name| format!(" ({name} in requests)")).unwrap_or_default();
        println!("  LoRA {file}{name}, strength {strengths}: {weights} weights, rank {ranks}, scale {scales}");
        if let Some(idle) = idle {
            println!("    it changes nothing: {idle}");
        }
        notes.iter().for_each(|note| println!("    {note}"));
        line("  used", *used);
        if *audio != Tally::default() {
            line("  audio, left on disk", *audio);
        }
    }
    if !absent.is_empty() {
        println!("  not in it: {}", absent.iter().map(|part| part.name()).collect::<Vec<_>>().join(", "));
    }
    println!(
        "  keys {} = {} used + {} audio + {} vision + {} scales, {} unknown, {} missing, {} other problems",
        report.total.tensors,
        report.used_total().tensors,
        report.audio.tensors,
        report.vision.tensors + report.duration.tensors + report.decoders_other.tensors,
        report.scales.tensors,
        report.unknown(),
        report.missing(),
        report.problems.len() - report.unknown() - report.missing()
    );
}

fn as_json(Inspected { path, kind, formats, version, sizes, absent, notes, report }: &Inspected) -> Value {
    json!({
        "path": path,
        "kind": kind,
        "formats": formats,
        "absent": absent,
        "version": version,
        "sizes": sizes,
        "notes": notes,
        "keys_total": report.total.tensors,
        "keys_used": report.used_total().tensors,
        "keys_audio": report.audio.tensors,
        "keys_skipped": report.vision.tensors + report.duration.tensors + report.decoders_other.tensors,
        "keys_scales": report.scales.tensors,
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
