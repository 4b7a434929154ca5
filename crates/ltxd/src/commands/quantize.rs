//! `ltxd quantize`: official files to one GGUF file, with the error of every layer.
//!
//! Must not know how a tensor is converted.

use crate::{human::human, outputs::Written};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use ltx_pipeline::quantize;
use ltx_types::CancelToken;
use ltx_weights::{QuantizeReport, QuantizeType, TensorReport};
use std::{
    collections::BTreeMap,
    io::{IsTerminal, stderr},
    path::PathBuf,
    process::ExitCode,
};

/// Errors are squared and summed by layer with the tensors' own weights.
#[derive(Default)]
struct Layer {
    tensors: usize,
    bytes_in: u64,
    bytes_out: u64,
    types: BTreeMap<&'static str, usize>,
    worst: Option<(f64, String)>,
    squares: f64,
    quantised: usize,
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A checkpoint (safetensors), a component of one, or a text encoder (Gemma, T5).
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The GGUF file to write, a name that ends in .gguf; one of that name is replaced when the new one is whole.
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// What the large matrices become. Norms, tables, biases, embeddings, gates, the first and last projections, the
    /// timestep's modulation, the text projection and the VAE keep their precision.
    #[arg(long = "type", value_name = "TYPE", value_parser = ["q8_0", "q6_k", "q5_k", "q4_k", "q4_0", "bf16"])]
    kind: String,
    /// Keys that keep their precision too: a part of the key, or with * in it the whole key. Can be given more than once.
    #[arg(long, value_name = "PATTERN")]
    keep: Vec<String>,
    /// A further component file, or a .json that states the configuration where IN does not. Can be given more than once.
    #[arg(long = "component", value_name = "FILE")]
    components: Vec<PathBuf>,
    /// Print the report as JSON, every tensor in it, and no progress.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    Written::Gguf.check("OUT", &arguments.out)?;
    let kind =
        QuantizeType::ALL.iter().find(|(name, _)| *name == arguments.kind).map_or(QuantizeType::Q8_0, |(_, k)| *k);
    let cancel = CancelToken::new();
    let on_signal = cancel.clone();
    ctrlc::set_handler(move || on_signal.cancel()).context("signals cannot be handled")?;
    let shown = !arguments.json && stderr().is_terminal();
    let bar = if shown { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) =
        ProgressStyle::with_template("quantising  {bar:32} {bytes} of {total_bytes}  {elapsed} gone, {eta} left")
    {
        bar.set_style(style);
    }
    let files: Vec<PathBuf> = std::iter::once(&arguments.input).chain(&arguments.components).cloned().collect();
    let made = quantize(&files, &arguments.out, (kind, arguments.keep.clone()), &cancel, |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = made.with_context(|| format!("{} was not written", arguments.out.display()))?;
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(arguments, &report);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(arguments: &Arguments, report: &QuantizeReport) {
    let mut layers: BTreeMap<LayerName, Layer> = BTreeMap::new();
    for tensor in &report.tensors {
        layers.entry(layer_of(&tensor.key)).or_default().add(tensor);
    }
    println!("{:<72} {:>7} {:>9} {:>9}  {:<9} weight (types)", "layer", "tensors", "bytes", "error", "worst");
    for ((_, _, name), layer) in &layers {
        let error = if layer.quantised == 0 { 0.0 } else { (layer.squares / layer.quantised as f64).sqrt() };
        let types: Vec<String> = layer.types.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let worst = layer.worst.as_ref().map(|(error, key)| format!("{error:<9.2e} {key}  ")).unwrap_or_default();
        let bytes = human(layer.bytes_out);
        println!("{name:<72} {:>7} {bytes:>9} {error:>9.2e}  {worst}({})", layer.tensors, types.join(", "));
    }
    let fallen: Vec<&TensorReport> = report.tensors.iter().filter(|tensor| tensor.fallback).collect();
    if let Some(first) = fallen.first() {
        let (row, count) = (first.shape.last().copied().unwrap_or(0), fallen.len());
        println!(
            "{count} tensors have rows that are not whole blocks of {}, such as {row} values, and became:",
            arguments.kind
        );
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        fallen.iter().for_each(|tensor| *kinds.entry(tensor.to).or_default() += 1);
        kinds.iter().for_each(|(kind, count)| println!("  {count} {kind}"));
    }
    if !report.left_out.is_empty() {
        println!("{} tensors were left out, such as {}", report.left_out.len(), report.left_out[0]);
    }
    let (from, to) = (human(report.bytes_in), human(report.bytes_out));
    println!("{}: {} tensors, {from} to {to}", arguments.out.display(), report.tensors.len());
}

/// What stands before a layer's number, the number, and both: in this order they sort as people count.
type LayerName = (String, u32, String);

fn layer_of(key: &str) -> LayerName {
    let words: Vec<&str> = key.split('.').collect();
    let number = words.iter().position(|word| word.parse::<u32>().is_ok());
    match number.filter(|_| key.contains("blocks.") || key.contains("layers.")) {
        Some(at) => (words[..at].join("."), words[at].parse().unwrap_or(0), words[..=at].join(".")),
        None => {
            let name = words[..words.len().min(2)].join(".");
            (name.clone(), 0, name)
        }
    }
}

impl Layer {
    fn add(&mut self, tensor: &TensorReport) {
        self.tensors += 1;
        self.bytes_in += tensor.bytes_in;
        self.bytes_out += tensor.bytes_out;
        *self.types.entry(tensor.to).or_default() += 1;
        if tensor.kept.is_none() {
            self.quantised += 1;
            self.squares += tensor.relative_error.powi(2);
            let last = tensor.key.rsplit('.').take(3).collect::<Vec<_>>();
            let short = last.into_iter().rev().collect::<Vec<_>>().join(".");
            if self.worst.as_ref().is_none_or(|(error, _)| *error < tensor.relative_error) {
                self.worst = Some((tensor.relative_error, short));
            }
        }
    }
}
