//! The `ltxd` command: reads arguments, puts the crates together, and turns errors into exit codes.
//!
//! Must not know how anything is computed. The only home of `anyhow`.
#![forbid(unsafe_code)]

mod commands;
mod exit;
mod library;
mod progress;
mod resident;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Generate a clip from an image, or from a start and an end image.
    Generate(Box<commands::generate::Arguments>),
    /// Say what model files are and account for every key in them; reads no weights.
    Inspect(commands::inspect::Arguments),
    /// Run golden cases and print the error of every tensor against the reference.
    Selftest(commands::selftest::Arguments),
    /// List the models this machine has manifests for.
    Models(commands::models::Arguments),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Generate(arguments) => commands::generate::run(&arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
        Command::Selftest(arguments) => commands::selftest::run(&arguments),
        Command::Models(arguments) => commands::models::run(&arguments),
    };
    result.unwrap_or_else(|error| exit::report(&error))
}
