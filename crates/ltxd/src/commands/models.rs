//! `ltxd models`: the manifests, and whether their files are here.
//!
//! Must not know the files' contents.

use crate::library;
use anyhow::Result;
use ltx_catalog::ManifestFiles;
use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder of model manifests.
    #[arg(long, env = "LTXD_MODELS", value_name = "DIR")]
    models_dir: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let library = library::open(arguments.models_dir.as_deref())?;
    for manifest in library.manifests() {
        let here = library.path_of(&manifest.files.checkpoint).exists();
        println!("{}  [{}]", manifest.name, if here { "here" } else { "not on this machine" });
        println!("    {} ({}, {})", manifest.description, manifest.family, manifest.licence);
        println!("    also called: {}", manifest.aliases.join(", "));
        let ManifestFiles { checkpoint, components, text_encoder, upscaler, loras } = &manifest.files;
        for file in std::iter::once(checkpoint).chain(components).chain([text_encoder]).chain(upscaler) {
            let source = file.repository.as_deref().map(|name| format!("  from {name}")).unwrap_or_default();
            println!("    {}{source}", library.path_of(file).display());
        }
        for (lora, file) in loras.iter().zip(library.files_of(manifest).loras) {
            let source = lora.repository.as_deref().map(|name| format!("  from {name}")).unwrap_or_default();
            println!("    {}{source}  LoRA, strength {}", file.path.display(), file.strengths);
        }
    }
    Ok(ExitCode::SUCCESS)
}
