//! What a pull says in the end, or instead of fetching: as lines or as JSON.
//!
//! Must not know how files came.

use super::{
    Pull, is_here,
    plan::{About, ModelPlan, Plan, Planned, Step},
    size,
};
use crate::commands::models::file_as_json;
use ltx_catalog::{Item, Wanted};
use serde_json::{Value, json};
use std::path::PathBuf;

impl Pull<'_> {
    pub(super) fn report(&self, plan: &Plan<'_>) {
        if self.arguments.json {
            println!("{:#}", self.as_json(plan));
            return;
        }
        for ModelPlan { manifest, items } in &plan.models {
            println!("{}", manifest.name);
            for (item, step) in items {
                self.print(item, step);
            }
        }
        if !self.arguments.dry_run {
            println!("fetched: {}; in {}", size(plan.missing_bytes()), self.hub.cache().root().display());
            return;
        }
        let About { bytes, is_about, unknown } = plan.about();
        let about = if is_about { "about " } else { "" };
        let more = if unknown { " and what has no known size" } else { "" };
        println!("to fetch in all: {about}{}{more}", size(Some(bytes)));
    }

    fn print(&self, item: &Item<'_>, step: &Step) {
        let part = item.part.replace('_', " ");
        let name = item.name.map(|name| format!("  ({name} in requests)")).unwrap_or_default();
        let would = if self.arguments.dry_run { "to fetch" } else { "fetched" };
        if step.files.is_empty() {
            let place = item.here.path().map(|path| path.display().to_string());
            let place = place.or_else(|| Some(format!("missing: {}", self.library.own_place(item.file)?.display())));
            let state = if is_here(&item.here) { "here" } else { "" };
            println!("    {part:<12} {state:<8} {:>13}  {}{name}", size(item.bytes), place.unwrap_or_default());
            return;
        }
        let repository = item.file.source.as_ref().map(|source| source.repository.as_str()).unwrap_or_default();
        let about = item.about_bytes().filter(|_| step.files.iter().any(|file| file.bytes.is_none()));
        let about = about.map(|bytes| format!("about {}", size(Some(bytes))));
        let mut of_folder = about.clone().filter(|_| step.files.len() > 1);
        for Planned { path, bytes, missing, again, .. } in &step.files {
            let rest = match (bytes, missing) {
                (Some(bytes), Some(missing)) if missing < bytes => {
                    format!("  ({} were here)", size(Some(bytes - missing)))
                }
                _ => String::new(),
            };
            let again = if *again { "  (the same as above)" } else { "" };
            let all = of_folder.take().map(|about| format!("  ({about} in all)")).unwrap_or_default();
            let own = about.clone().filter(|_| bytes.is_none() && step.files.len() == 1);
            let bytes = own.unwrap_or_else(|| size(*bytes));
            println!("    {part:<12} {would:<8} {bytes:>13}  {repository}/{path}{name}{rest}{all}{again}");
        }
    }

    fn as_json(&self, plan: &Plan<'_>) -> Value {
        let models = plan.models.iter().map(|ModelPlan { manifest, items }| {
            let files = items.iter().map(|(item, step)| self.item_as_json(item, step)).collect::<Vec<_>>();
            json!({ "name": manifest.name, "files": files })
        });
        json!({
            "dry_run": self.arguments.dry_run,
            "cache": self.hub.cache().root(),
            "bytes": plan.missing_bytes(),
            "about_bytes": plan.about().whole(),
            "notes": plan.notes,
            "models": models.collect::<Vec<_>>(),
        })
    }

    /// Where what was fetched lies now.
    fn place_of(&self, item: &Item<'_>, step: &Step) -> Option<PathBuf> {
        let (source, remote) = (item.file.source.as_ref()?, step.files.first()?.remote.as_ref()?);
        let snapshot = self.hub.cache().snapshot(&source.repository, &remote.commit);
        match &source.wanted {
            _ if self.arguments.dry_run => None,
            Wanted::File(path) => Some(snapshot.join(path)),
            Wanted::Files(_) => Some(snapshot),
        }
    }

    fn item_as_json(&self, item: &Item<'_>, step: &Step) -> Value {
        let mut told = file_as_json(self.library, item);
        let published = step.files.iter().map(|file| {
            let digest = file.remote.as_ref().and_then(|remote| remote.digest()).or_else(|| file.pinned.clone());
            let sha256 = match digest {
                Some(ltx_hub::Digest::Sha256(hex)) => Some(hex),
                _ => None,
            };
            json!({
                "path": file.path,
                "bytes": file.bytes,
                "missing_bytes": file.missing,
                "sha256": sha256,
                "commit": file.remote.as_ref().map(|remote| remote.commit.as_str()),
            })
        });
        let fetched = if self.arguments.dry_run { "to_fetch" } else { "fetched" };
        if !step.files.is_empty() {
            told["state"] = json!(fetched);
            told["path"] = json!(self.place_of(item, step));
        }
        told["published"] = json!(published.collect::<Vec<_>>());
        told
    }
}
