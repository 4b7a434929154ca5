//! What an operator decides about traces, from the section `traces` of node.toml.
//!
//! Must not know where keys come from, nor defaults: those are ltxd's defaults.toml.

use crate::{endpoint, headers, pairs::pair, sampler::Sampler};
use ltx_types::FieldError;
use serde::Deserialize;
use std::{collections::HashMap, path::PathBuf};

/// The section `traces`, before its values are held against each other.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where a collector takes spans; none for a node that traces nothing.
    pub endpoint: String,
    /// A file of headers that are sent with them.
    pub headers_file: PathBuf,
    /// What spans say they are of.
    pub service_name: String,
    /// What else they say of where they are from: `NAME=VALUE`.
    pub resource_attributes: Vec<String>,
    /// Which requests are traced.
    pub sampler: String,
    /// The share of them, where the sampler looks at one.
    pub sample_ratio: f64,
}

/// Settings of a node that traces, which hold together.
#[derive(Clone)]
pub struct TracesConfig {
    pub(crate) endpoint: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) service_name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) sampler: Sampler,
}

/// Headers may be secrets.
impl std::fmt::Debug for TracesConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TracesConfig").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Settings {
    /// Holds the values against each other, and reads the file of headers. `None` for a node that traces nothing, to which the
    /// others mean nothing.
    ///
    /// # Errors
    /// The first value that cannot be, by its key.
    pub fn check(&self) -> Result<Option<TracesConfig>, FieldError> {
        let Self { endpoint, headers_file, service_name, resource_attributes, sampler, sample_ratio } = self;
        if endpoint.is_empty() {
            return Ok(None);
        }
        let endpoint = endpoint::checked(endpoint)?;
        if service_name.is_empty() {
            return Err(FieldError::new("traces.service_name", "\"\"", "names nothing").nearest("ltxd"));
        }
        if !(0.0..=1.0).contains(sample_ratio) {
            let nearest = if *sample_ratio < 0.0 { "0" } else { "1" };
            return Err(FieldError::new("traces.sample_ratio", sample_ratio, "is not from 0 to 1").nearest(nearest));
        }
        let named = Sampler::named(sampler, *sample_ratio);
        let named = named.ok_or_else(|| FieldError::new("traces.sampler", sampler, Sampler::RULE))?;
        if *sample_ratio < 1.0 && !Sampler::has_ratio(sampler) {
            let rule = format!("is a share, at which traces.sampler = {sampler} does not look");
            return Err(FieldError::new("traces.sample_ratio", sample_ratio, rule).nearest("1"));
        }
        let refused = |rule| FieldError::new("traces.resource_attributes", resource_attributes.join(","), rule);
        let attributes = resource_attributes.iter().map(|text| pair(text)).collect::<Result<Vec<_>, _>>();
        let attributes = attributes.map_err(refused)?;
        let own = ["service.name", "service.version", "service.instance.id"];
        if let Some((name, _)) = attributes.iter().find(|(name, _)| own.contains(&name.as_str())) {
            return Err(refused(format!("says {name}, which traces.service_name, this program or the node's id says")));
        }
        let headers = match headers_file.as_os_str().is_empty() {
            true => HashMap::new(),
            false => headers::of(headers_file)?,
        };
        let service_name = service_name.clone();
        Ok(Some(TracesConfig { endpoint, headers, service_name, attributes, sampler: named }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(of: serde_json::Value) -> Settings {
        let mut all = serde_json::json!({
            "endpoint": "http://127.0.0.1:4318", "headers_file": "", "service_name": "ltxd", "resource_attributes": [],
            "sampler": "parentbased_traceidratio", "sample_ratio": 1.0,
        });
        of.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn a_value_that_cannot_be_is_named_by_its_key() {
        for (of, field) in [
            (serde_json::json!({ "endpoint": "127.0.0.1:4318" }), "traces.endpoint"),
            (serde_json::json!({ "service_name": "" }), "traces.service_name"),
            (serde_json::json!({ "sample_ratio": 1.5 }), "traces.sample_ratio"),
            (serde_json::json!({ "sample_ratio": -0.5 }), "traces.sample_ratio"),
            (serde_json::json!({ "sampler": "xray" }), "traces.sampler"),
            (serde_json::json!({ "sampler": "always_on", "sample_ratio": 0.5 }), "traces.sample_ratio"),
            (serde_json::json!({ "resource_attributes": ["a"] }), "traces.resource_attributes"),
            (serde_json::json!({ "resource_attributes": ["service.name=x"] }), "traces.resource_attributes"),
            (serde_json::json!({ "headers_file": "/nonexistent" }), "traces.headers_file"),
        ] {
            assert_eq!(settings(of.clone()).check().unwrap_err().field, field, "{of}");
        }
        let nan = Settings { sample_ratio: f64::NAN, ..settings(serde_json::json!({})) };
        assert_eq!(nan.check().unwrap_err().field, "traces.sample_ratio");
    }

    #[test]
    fn without_an_endpoint_nothing_is_traced() {
        assert!(settings(serde_json::json!({ "endpoint": "" })).check().unwrap().is_none());
        let config = settings(serde_json::json!({ "resource_attributes": ["a=b"] })).check().unwrap().unwrap();
        assert_eq!(config.endpoint, "http://127.0.0.1:4318/v1/traces");
        assert_eq!(config.attributes, [("a".to_owned(), "b".to_owned())]);
    }
}
