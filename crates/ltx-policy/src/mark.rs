//! The mark: what an output says about its own class.
//!
//! Must not know files; the writers in `ltx-media` decide where the entries go.

use ltx_types::{Method, Seed};
use serde::Serialize;

/// The model that made an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelIdentity {
    /// The manifest's name, or the file's when a bare path was given.
    pub name: String,
    /// The checkpoint's own `model_version`.
    pub version: String,
}

/// Usage class, credits, method, model, seed and node of one output. Only an admitted generation makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsageMark {
    usage_class: &'static str,
    credits_charged: u32,
    method: Method,
    model: String,
    model_version: String,
    seed: Seed,
    node: String,
    engine: &'static str,
}

impl UsageMark {
    pub(crate) fn new(method: Method, model: &ModelIdentity, seed: Seed, node: &str) -> Self {
        Self {
            usage_class: "UNLIMITED",
            credits_charged: 0,
            method,
            model: model.name.clone(),
            model_version: model.version.clone(),
            seed,
            node: node.to_owned(),
            engine: concat!("ltxd ", env!("CARGO_PKG_VERSION")),
        }
    }

    /// The mark as key and value pairs, for container metadata and text chunks.
    pub fn entries(&self) -> [(&'static str, String); 8] {
        [
            ("usage_class", self.usage_class.to_owned()),
            ("credits_charged", self.credits_charged.to_string()),
            ("method", self.method.to_string()),
            ("model", self.model.clone()),
            ("model_version", self.model_version.clone()),
            ("seed", self.seed.to_string()),
            ("node", self.node.clone()),
            ("engine", self.engine.to_owned()),
        ]
    }
}
