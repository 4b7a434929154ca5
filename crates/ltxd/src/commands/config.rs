//! `ltxd config`: what a node would run with, and the digests of tokens.
//!
//! Must not know what the keys do.

use crate::config::{Sources, hash_token};
use crate::exit::BadInput;
use anyhow::{Context, Result};
use ltx_nn::Level;
use std::{
    io::{Read, stdin},
    process::ExitCode,
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print the effective configuration as TOML: defaults, file, environment and flags. Tokens show as digests only.
    Print(Sources),
    /// Say whether a node could run with it, as far as that can be said without starting one.
    Check(Sources),
    /// Make a line of the tokens file; the token is read from standard input, or drawn and printed with --new.
    HashToken {
        /// The client's name.
        name: String,
        /// Draw a new token and print it on standard error.
        #[arg(long)]
        new: bool,
    },
}

pub(crate) fn run(arguments: &Arguments, level: Level) -> Result<ExitCode> {
    match &arguments.command {
        Command::Print(sources) => {
            let table = sources.effective()?;
            print!("{}", toml::to_string_pretty(&table)?);
            // Said even where the whole does not hold together.
            if let Ok(config) = sources.load() {
                for client in &config.clients {
                    println!("# client {}: {}", client.name, client.sha256);
                }
            }
        }
        Command::Check(sources) => {
            let config = sources.load()?;
            crate::node::look(&config, level)?;
            println!("the configuration is good: {} on {}", config.models.served.join(", "), config.addresses.listen);
        }
        Command::HashToken { name, new } => {
            let token = if *new { new_token()? } else { read_token()? };
            println!("{name}:{}", hash_token(&token));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read_token() -> Result<String> {
    let mut text = String::new();
    stdin().read_to_string(&mut text).context("standard input cannot be read")?;
    let token = text.trim();
    // What cannot stand in a header can never be sent.
    if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(BadInput("the token on standard input is empty, or holds spaces or other than ASCII".into()).into());
    }
    Ok(token.to_owned())
}

fn new_token() -> Result<String> {
    let token = crate::node::random_hex(32)?;
    eprintln!("{token}");
    Ok(token)
}
