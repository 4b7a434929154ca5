//! `ltxd models`: the manifests, how large their files are, and which of them are here.
//!
//! Must not know the files' contents.

use crate::{hub, human::human, library};
use anyhow::Result;
use ltx_catalog::{Item, Manifest, ModelLibrary, Wanted, Whereabouts};
use serde_json::{Value, json};
use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder of model manifests.
    #[arg(long, env = "LTXD_MODELS", value_name = "DIR")]
    models_dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let library = library::open(arguments.models_dir.as_deref())?;
    if arguments.json {
        let models: Vec<_> = library.manifests().iter().map(|manifest| as_json(&library, manifest)).collect();
        let cache = hub::cache().map(|cache| cache.root().to_owned());
        println!("{:#}", json!({ "folder": library.folder(), "cache": cache, "models": models }));
        return Ok(ExitCode::SUCCESS);
    }
    for manifest in library.manifests() {
        print(&library, manifest);
    }
    Ok(ExitCode::SUCCESS)
}

/// Sums over a model's files.
struct Stock {
    here: u64,
    missing: u64,
    /// What is missing of files whose size is about known.
    about: u64,
    /// Whether a missing file's size is not even that.
    unknown: bool,
    files_missing: usize,
    files: usize,
}

impl Stock {
    fn of(items: &[Item<'_>]) -> Self {
        let missing: Vec<_> = items.iter().filter(|item| item.here == Whereabouts::Missing).collect();
        let here = items.iter().filter(|item| item.here != Whereabouts::Missing);
        Self {
            here: here.filter_map(|item| item.bytes).sum(),
            missing: missing.iter().filter_map(|item| item.bytes).sum(),
            about: missing.iter().filter_map(|item| item.about_bytes()).sum(),
            unknown: missing.iter().any(|item| item.bytes.or(item.about_bytes()).is_none()),
            files_missing: missing.len(),
            files: items.len(),
        }
    }

    /// What is here and what is missing, for people.
    fn sentence(&self) -> String {
        let about = if self.about > 0 { "about " } else { "" };
        let (here, missing) = (human(self.here), format!("{about}{}", human(self.missing + self.about)));
        let missing = match (self.unknown, self.missing + self.about) {
            (false, _) => format!("{missing} missing"),
            (true, 0) => "what is missing is of unknown size".to_owned(),
            (true, _) => format!("more than {missing} missing"),
        };
        match self.state() {
            "here" => format!("here, {here}"),
            "missing" => format!("not on this machine: {missing}"),
            _ => format!("in part on this machine: {here} here, {missing}"),
        }
    }

    fn state(&self) -> &'static str {
        match self.files_missing {
            0 => "here",
            missing if missing == self.files => "missing",
            _ => "in part",
        }
    }
}

fn print(library: &ModelLibrary, manifest: &Manifest) {
    let items = library.items(manifest);
    let stock = Stock::of(&items);
    println!("{}  [{}]", manifest.name, stock.sentence());
    println!("    {} ({}, {})", manifest.description, manifest.family, manifest.licence);
    if !manifest.aliases.is_empty() {
        println!("    also called: {}", manifest.aliases.join(", "));
    }
    for item in &items {
        let about = || item.about_bytes().map(|bytes| format!("about {}", human(bytes)));
        let bytes = item.bytes.map(human).or_else(about).unwrap_or_else(|| "size unknown".to_owned());
        let name = item.name.map(|name| format!(", {name} where a request names it")).unwrap_or_default();
        let strength = item.strengths.map(|strengths| format!("{name}, strength {strengths}")).unwrap_or_default();
        let place = match (&item.here, &item.file.source) {
            (Whereabouts::Missing, Some(source)) => format!("missing: {source}"),
            (Whereabouts::Missing, None) => {
                let from = item.file.repository.as_ref().map(|name| format!(", from {name}")).unwrap_or_default();
                let place = library.own_place(item.file).unwrap_or_default();
                format!("missing: {}{from}", place.display())
            }
            (here, _) => {
                let place = here.path().map(|path| path.display().to_string()).unwrap_or_default();
                let elsewhere = if matches!(here, Whereabouts::Found(_)) { "  (used in place)" } else { "" };
                format!("{place}{elsewhere}")
            }
        };
        println!("    {:<12} {bytes:>13}  {place}{strength}", item.part.replace('_', " "));
    }
    if stock.files_missing > 0
        && items.iter().any(|item| item.here == Whereabouts::Missing && item.file.source.is_some())
    {
        println!("    to fetch what is missing: ltxd pull {}", manifest.name);
    }
}

fn as_json(library: &ModelLibrary, manifest: &Manifest) -> Value {
    let items = library.items(manifest);
    let stock = Stock::of(&items);
    json!({
        "name": manifest.name,
        "aliases": manifest.aliases,
        "family": manifest.family,
        "version": manifest.version,
        "licence": manifest.licence,
        "description": manifest.description,
        "state": stock.state(),
        "here_bytes": stock.here,
        "missing_bytes": (!stock.unknown && stock.about == 0).then_some(stock.missing),
        "about_missing_bytes": (!stock.unknown && stock.about > 0).then_some(stock.missing + stock.about),
        "files": items.iter().map(|item| file_as_json(library, item)).collect::<Vec<_>>(),
    })
}

/// One file, as `models` and `pull` print it.
pub(super) fn file_as_json(library: &ModelLibrary, item: &Item<'_>) -> Value {
    let source = item.file.source.as_ref();
    let names = |source: &ltx_catalog::Source| match &source.wanted {
        Wanted::File(path) => vec![path.clone()],
        Wanted::Files(patterns) => patterns.clone(),
    };
    json!({
        "part": item.part,
        "state": item.here.word().unwrap_or("missing"),
        "path": item.here.path().map(std::path::Path::to_owned).or_else(|| library.own_place(item.file)),
        "repository": source.map(|source| source.repository.as_str()).or(item.file.repository.as_deref()),
        "revision": source.map(|source| source.revision.as_str()),
        "commit": source.and_then(|source| library.places().pins.of(source)).map(|pinned| pinned.commit.as_str()),
        "files": source.map(names).unwrap_or_default(),
        "bytes": item.bytes,
        "about_bytes": item.about_bytes(),
        "name": item.name,
        "strength": item.strengths.map(|strengths| strengths.first),
        "stage_2_strength": item.strengths.map(|strengths| strengths.second),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_as_far_as_it_is_known() {
        let stock = |here, missing, unknown| {
            let files_missing = if here > 0 { 1 } else { 2 };
            Stock { here, missing, about: 0, unknown, files_missing, files: 2 }.sentence()
        };
        let about = |missing, unknown| {
            Stock { here: 0, missing, about: 25_000_000_000, unknown, files_missing: 2, files: 2 }.sentence()
        };
        assert_eq!(about(0, false), "not on this machine: about 25.0 GB missing");
        assert_eq!(about(1_000_000_000, false), "not on this machine: about 26.0 GB missing");
        assert_eq!(about(0, true), "not on this machine: more than about 25.0 GB missing");
        assert_eq!(stock(0, 0, true), "not on this machine: what is missing is of unknown size");
        assert_eq!(stock(0, 5_000_000, true), "not on this machine: more than 5.0 MB missing");
        assert_eq!(stock(2_000, 5_000_000, false), "in part on this machine: 2.0 kB here, 5.0 MB missing");
        assert_eq!(stock(2_000, 0, true), "in part on this machine: 2.0 kB here, what is missing is of unknown size");
        let here = Stock { here: 2_000, missing: 0, about: 0, unknown: false, files_missing: 0, files: 2 };
        assert_eq!(here.sentence(), "here, 2.0 kB");
    }
}
