//! The models that are served: whether their files are here, whole and readable, and whether a clip of their own defaults fits.
//!
//! Must not know formats: a model is opened as a node opens it, which reads every header and no weight. A weight that is wrong in
//! itself is not seen; `ltxd pull` holds what it fetches against the hub's digests.

use super::{
    Findings,
    files::{Others, others},
};
use crate::{
    config::NodeConfig,
    human::human,
    library,
    node::{self, Need},
};
use ltx_catalog::{CatalogError, Manifest, ModelLibrary};
use ltx_nn::Compute;
use std::fs::File;

/// Where nothing was opened to compute, only the files are looked at.
pub(super) fn look(findings: &mut Findings<'_>, config: &NodeConfig, compute: Option<&Compute>) {
    let folder = library::folder(config.models.folder.as_deref());
    let library = folder.and_then(|folder| library::open(Some(&folder)));
    let library = match library {
        Ok(library) => library,
        Err(error) => {
            findings.error(
                format!("{error:#}"),
                "set models_dir to a folder of manifests, and correct the one that is named",
            );
            return;
        }
    };
    for asked in &config.models.served {
        // By its aliases, too.
        let named = library.names().find(asked).map(|known| known.name().to_owned());
        let Some(manifest) = named.and_then(|name| library.manifest(&name)) else {
            let there: Vec<_> = library.manifests().iter().map(|manifest| manifest.name.as_str()).collect();
            let what = format!("models = {asked}: has no manifest in {}", library.folder().display());
            findings.error(what, format!("set models to one of: {}", there.join(", ")));
            continue;
        };
        if files_are_here(findings, &library, manifest)
            && let Some(compute) = compute
        {
            opens(findings, config, compute, &manifest.name);
        }
    }
}

/// Whether every file can be read.
fn files_are_here(findings: &mut Findings<'_>, library: &ModelLibrary, manifest: &Manifest) -> bool {
    match library.files_of(manifest) {
        Ok(_) => {}
        Err(error @ CatalogError::Missing { .. }) => {
            findings.error(error.to_string(), format!("ltxd pull {}", manifest.name));
            return false;
        }
        Err(error) => {
            findings.error(ltx_types::sentence(&error), format!("ltxd pull {}", manifest.name));
            return false;
        }
    }
    let mut readable = true;
    for item in library.items(manifest) {
        let Some(path) = item.here.path() else { continue };
        let shown = path.display();
        if let Err(error) = File::open(path) {
            findings.error(
                format!("{}: {shown}: cannot be read: {error}", manifest.name),
                format!("let the node's user read it: chmod a+r {shown}"),
            );
            readable = false;
        } else if matches!(others(path), Ok(Others::Write)) {
            findings
                .warn(format!("{}: {shown}: anybody here may change it", manifest.name), format!("chmod o-w {shown}"));
        }
    }
    readable
}

/// Opens it alone.
fn opens(findings: &mut Findings<'_>, config: &NodeConfig, compute: &Compute, model: &str) {
    let need = match node::need(config, compute.clone(), model) {
        Ok(need) => need,
        Err(error) => {
            let remedy = format!(
                "fetch it anew (remove the file that is named, then: ltxd pull {model}), or correct its manifest"
            );
            findings.error(format!("{error:#}"), remedy);
            return;
        }
    };
    let Need { peak, available } = need;
    match (peak, available) {
        (Some(peak), Some(available)) if peak > available => {
            let what = format!(
                "{model}: a clip of its own defaults needs {}, and {} may be used: every such request is DOES_NOT_FIT",
                human(peak),
                human(available)
            );
            findings.error(what, "end what else takes memory, raise limits.memory_bytes, serve a quantised model, or ask for smaller clips");
        }
        (Some(peak), _) => findings.fine(format!("{model}: is here; a clip of its own defaults needs {}", human(peak))),
        (None, _) => findings.fine(format!("{model}: is here")),
    }
}
