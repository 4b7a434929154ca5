//! The `ltxd` command: reads arguments, puts the crates together, and turns errors into exit codes.
//!
//! Must not know how anything is computed. The only home of `anyhow`.
#![deny(unsafe_code)]

// Before all others, which print with its macros.
#[macro_use]
mod say;

mod allocator;
mod build;
mod cache;
mod client;
mod commands;
mod compute;
mod config;
mod doctor;
mod exit;
mod forecast;
mod generation_flags;
mod hub;
mod human;
mod library;
mod lora;
mod memory;
mod node;
mod outputs;
mod progress;
mod provenance;
mod rates;
mod ready_file;
mod several;

use clap::{Parser, Subcommand};
use ltx_nn::Level;
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about, after_help = exit::HELP)]
struct Cli {
    /// Instructions that the kernels use: portable, avx2, avx512 or amx; the widest that the processor has by default.
    #[arg(long, env = "LTXD_CPU_LEVEL", value_name = "LEVEL", global = true, hide_env_values = true)]
    cpu_level: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Generate a clip from an image, or from a start and an end image.
    Generate(Box<commands::generate::Arguments>),
    /// Say what model files are and account for every key in them; reads no weights.
    Inspect(commands::inspect::Arguments),
    /// Write a checkpoint, or a text encoder, as a smaller GGUF file, and print the error of every layer.
    Quantize(commands::quantize::Arguments),
    /// Run golden cases and print the error of every tensor against the reference.
    Selftest(commands::selftest::Arguments),
    /// Run the stages of a case on request and time them; `scripts/bench` drives it.
    #[command(hide = true)]
    Bench(commands::bench::Arguments),
    /// List the models this machine has manifests for, with sizes, and which of their files are here.
    Models(commands::models::Arguments),
    /// Fetch the files of models from the hub that publishes them; goes on where an earlier attempt stopped.
    Pull(commands::pull::Arguments),
    /// Run a node: serve generations over gRPC until SIGTERM or Ctrl-C.
    Serve(Box<commands::serve::Arguments>),
    /// Move what a node alone holds into a service of many nodes.
    Cluster(commands::cluster::Arguments),
    /// Show or check what a node would run with; make lines of its tokens file.
    Config(Box<commands::config::Arguments>),
    /// Ask a node for a clip.
    Submit(Box<commands::submit::Arguments>),
    /// Follow a generation on a node until it ends.
    Watch(commands::watch::Arguments),
    /// Show a generation of a node.
    Get(commands::get::Arguments),
    /// List this client's generations on a node, the newest first.
    List(commands::list::Arguments),
    /// Cancel a generation that waits or runs on a node.
    Cancel(commands::cancel::Arguments),
    /// Fetch a finished generation's video, poster or sidecar; goes on where an earlier attempt stopped.
    Download(commands::download::Arguments),
    /// Delete a generation that has ended, with its outputs.
    Delete(commands::delete::Arguments),
    /// Ask a node whether a request is of the unlimited class, and what it would need; makes nothing.
    Check(Box<commands::check::Arguments>),
    /// Show what a node runs on, serves and allows.
    Node(commands::node::Arguments),
    /// Say what is wrong on this machine for a node of this configuration, each with its remedy.
    Doctor(Box<commands::doctor::Arguments>),
    /// Say whose signature files carry, what was changed since, and whether they are outputs of ltxd.
    Verify(commands::verify::Arguments),
    /// Ask a node whether it serves; for probes.
    Health(commands::health::Arguments),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = match cli.cpu_level.as_deref().map_or_else(|| Ok(Level::widest()), str::parse) {
        Ok(level) => level,
        Err(error) => return exit::report(&anyhow::Error::from(exit::BadInput(error.to_string()))),
    };
    let result = match cli.command {
        Command::Generate(arguments) => commands::generate::run(&arguments, level),
        Command::Inspect(arguments) => commands::inspect::run(&arguments, level),
        Command::Quantize(arguments) => commands::quantize::run(&arguments),
        Command::Selftest(arguments) => commands::selftest::run(&arguments, level),
        Command::Bench(arguments) => commands::bench::run(&arguments, level),
        Command::Models(arguments) => commands::models::run(&arguments),
        Command::Pull(arguments) => commands::pull::run(&arguments),
        Command::Serve(arguments) => commands::serve::run(&arguments, level),
        Command::Cluster(arguments) => commands::cluster::run(&arguments),
        Command::Config(arguments) => commands::config::run(&arguments, level),
        Command::Submit(arguments) => commands::submit::run(&arguments),
        Command::Watch(arguments) => commands::watch::run(&arguments),
        Command::Get(arguments) => commands::get::run(&arguments),
        Command::List(arguments) => commands::list::run(&arguments),
        Command::Cancel(arguments) => commands::cancel::run(&arguments),
        Command::Download(arguments) => commands::download::run(&arguments),
        Command::Delete(arguments) => commands::delete::run(&arguments),
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Node(arguments) => commands::node::run(&arguments),
        Command::Doctor(arguments) => commands::doctor::run(&arguments, level),
        Command::Verify(arguments) => commands::verify::run(&arguments),
        Command::Health(arguments) => commands::health::run(&arguments),
    };
    result.unwrap_or_else(|error| exit::report(&error))
}
