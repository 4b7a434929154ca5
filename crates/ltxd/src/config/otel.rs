//! Variables of the environment by which OpenTelemetry is told what to do everywhere: what they say of keys of the section `traces`, and
//! those that this program does not obey. Variables of other signals than traces are others' affair.
//!
//! Must not know how traces are made.

use super::ConfigError;
use ltx_traces::{base, pairs, whole};
use ltx_types::FieldError;
use std::{collections::BTreeMap, ffi::OsString};

const ENDPOINT: &str = "traces.endpoint";

/// What the variables say.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// A variable, a key, and the key's value; what comes later goes over what comes first.
    pub(super) keys: Vec<(&'static str, &'static str, String)>,
    /// What cannot be obeyed. It matters only to a node that traces.
    refused: Vec<(String, String, String)>,
}

impl Said {
    /// What cannot be obeyed, the first of it.
    pub(super) fn refused(&self) -> Option<ConfigError> {
        let (key, value, rule) = self.refused.first()?.clone();
        Some(ConfigError::Value { place: Some("the environment".to_owned()), key, value, rule })
    }

    fn refuse(&mut self, variable: &str, value: &str, rule: impl Into<String>) {
        self.refused.push((variable.to_owned(), value.to_owned(), rule.into()));
    }
}

/// Reads the variables. An empty one says nothing.
pub(super) fn read<'a>(variables: impl Iterator<Item = &'a (OsString, OsString)>) -> Said {
    let mut said = Said::default();
    let mut found = BTreeMap::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("OTEL_")) else { continue };
        match value.to_str() {
            Some("") => {}
            Some(value) => _ = found.insert(name, value),
            None => said.refuse(name, "", "is not UTF-8"),
        }
    }
    let mut take = |name: &str| found.remove(name);
    if let Some(url) = take("OTEL_EXPORTER_OTLP_ENDPOINT") {
        said.keys.push(("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT, base(url)));
    }
    if let Some(url) = take("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        if whole(url) {
            said.keys.push(("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ENDPOINT, url.to_owned()));
        } else {
            let rule = "names no path, and is taken as it stands: say it, such as http://127.0.0.1:4318/v1/traces";
            said.keys.push(("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ENDPOINT, url.to_owned()));
            said.refuse("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url, rule);
        }
    }
    if let Some(list) = take("OTEL_RESOURCE_ATTRIBUTES") {
        let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
        let (names, others): (Vec<_>, Vec<_>) = parts.partition(|part| part.starts_with("service.name="));
        if let Some((_, name)) = names.last().and_then(|name| name.split_once('=')) {
            said.keys.push(("OTEL_RESOURCE_ATTRIBUTES", "traces.service_name", name.to_owned()));
        }
        said.keys.push(("OTEL_RESOURCE_ATTRIBUTES", "traces.resource_attributes", others.join(",")));
    }
    if let Some(name) = take("OTEL_SERVICE_NAME") {
        said.keys.push(("OTEL_SERVICE_NAME", "traces.service_name", name.to_owned()));
    }
    if let Some(sampler) = take("OTEL_TRACES_SAMPLER") {
        said.keys.push(("OTEL_TRACES_SAMPLER", "traces.sampler", sampler.to_owned()));
    }
    if let Some(ratio) = take("OTEL_TRACES_SAMPLER_ARG") {
        match ratio.parse::<f64>() {
            Ok(_) => said.keys.push(("OTEL_TRACES_SAMPLER_ARG", "traces.sample_ratio", ratio.to_owned())),
            Err(_) => said.refuse("OTEL_TRACES_SAMPLER_ARG", ratio, "is no number from 0 to 1"),
        }
    }
    // The exporter reads them itself.
    for name in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"] {
        if let Some(Err(rule)) = take(name).map(pairs) {
            said.refuse(name, FieldError::HIDDEN, rule);
        }
    }
    switches(&mut said, take);
    for (name, value) in found.into_iter().filter(|(name, _)| is_of_traces(name)) {
        said.refuse(name, value, "is not obeyed by ltxd; unset it for this process");
    }
    said
}

/// Variables that say one of a few words.
fn switches<'a>(said: &mut Said, mut take: impl FnMut(&str) -> Option<&'a str>) {
    for name in ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] {
        if let Some(protocol) = take(name).filter(|protocol| *protocol != "http/protobuf") {
            said.refuse(name, protocol, "is not http/protobuf, which alone ltxd speaks");
        }
    }
    if let Some(propagators) = take("OTEL_PROPAGATORS")
        && !propagators.split(',').any(|name| name.trim() == "tracecontext")
    {
        said.refuse("OTEL_PROPAGATORS", propagators, "does not name tracecontext, which alone ltxd obeys");
    }
    match take("OTEL_TRACES_EXPORTER") {
        None | Some("otlp") => {}
        Some("none") => said.keys.push(("OTEL_TRACES_EXPORTER", ENDPOINT, String::new())),
        Some(other) => said.refuse("OTEL_TRACES_EXPORTER", other, "is neither otlp nor none"),
    }
    match take("OTEL_SDK_DISABLED") {
        Some(yes) if yes.eq_ignore_ascii_case("true") => {
            said.keys.push(("OTEL_SDK_DISABLED", ENDPOINT, String::new()));
        }
        // What else it says is false, as the standard has it.
        _ => {}
    }
}

/// Whether a variable is about traces or about what sends them.
fn is_of_traces(name: &str) -> bool {
    let of_others = ["METRICS", "LOGS", "PROFILES"].iter().any(|signal| name.contains(signal));
    let about = ["OTEL_EXPORTER_OTLP_", "OTEL_TRACES_", "OTEL_BSP_", "OTEL_SPAN_"];
    !of_others && about.iter().any(|about| name.starts_with(about))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(variables: &[(&str, &str)]) -> Said {
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        read(variables.iter())
    }

    #[test]
    fn variables_say_keys_the_one_of_traces_over_the_one_of_all() {
        let all = said(&[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/x"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a, deployment.environment=prod"),
            ("OTEL_SERVICE_NAME", "b"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=x"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_PROPAGATORS", "tracecontext,baggage"),
            ("OTEL_TRACES_EXPORTER", "otlp"),
            ("OTEL_METRICS_EXPORTER", "prometheus"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
            ("OTEL_SDK_DISABLED", ""),
        ]);
        let keys: Vec<_> = all.keys.iter().map(|(_, key, value)| (*key, value.as_str())).collect();
        let expected = [
            ("traces.endpoint", "http://c:4318/v1/traces"),
            ("traces.endpoint", "http://c/x"),
            ("traces.service_name", "a"),
            ("traces.resource_attributes", "deployment.environment=prod"),
            ("traces.service_name", "b"),
            ("traces.sampler", "traceidratio"),
            ("traces.sample_ratio", "0.25"),
        ];
        assert_eq!(keys, expected);
        assert!(all.refused().is_none(), "{all:?}");
    }

    #[test]
    fn what_is_not_obeyed_is_refused_by_name() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "1"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_SAMPLER_ARG", "x"),
            ("OTEL_PROPAGATORS", "b3"),
        ] {
            let refused = said(&[(name, value)]).refused().unwrap().to_string();
            assert!(refused.starts_with(&format!("the environment: {name} = {value}: ")), "{refused}");
        }
        let secret = said(&[("OTEL_EXPORTER_OTLP_HEADERS", "secret")]).refused().unwrap().to_string();
        assert!(!secret.contains("secret"), "{secret}");
    }

    #[test]
    fn a_switch_turns_traces_off() {
        for (name, value) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            let said = said(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), (name, value)]);
            assert_eq!(said.keys.last().unwrap(), &(name, ENDPOINT, String::new()));
        }
    }
}
