//! `ltxd doctor`: what is wrong here, and what to do about it.
//!
//! Must not know the checks.

use crate::{
    config::Sources,
    doctor::{self, Finding, Severity},
    exit::Code,
};
use anyhow::Result;
use ltx_nn::Level;
use serde_json::json;
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(
    after_help = "Looks at the processor, the clock, the configuration, the GPU, the ports, certificate and key, the tokens file, \
the data folder, the disk, the memory and the models, and changes nothing; without data_dir that folder is not looked at. Exits with 0 where a node \
would start and serve, warnings or not, and with 1 where something stands against it."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    sources: Sources,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, level: Level) -> Result<ExitCode> {
    let findings = doctor::examine(&arguments.sources, level);
    let count = |severity: Severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if arguments.json {
        println!("{:#}", json!({ "errors": errors, "warnings": warnings, "findings": findings }));
    } else {
        findings.iter().for_each(|finding| print!("{}", shown(finding)));
        println!("{}", summary(errors, warnings));
    }
    Ok(if errors == 0 { Code::Done } else { Code::Failed }.into())
}

fn shown(finding: &Finding) -> String {
    let word = match finding.severity {
        Severity::Fine => "fine",
        Severity::Warning => "WARNING",
        Severity::Error => "ERROR",
    };
    let remedy = finding.remedy.iter().map(|remedy| format!("{:<24}what to do: {remedy}\n", ""));
    format!("{word:<8} {:<14} {}\n{}", finding.check, finding.what, remedy.collect::<String>())
}

fn summary(errors: usize, warnings: usize) -> String {
    let counted = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => "nothing is wrong".to_owned(),
        (0, warnings) => format!("{}; a node would serve", counted(warnings, "warning")),
        (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}
