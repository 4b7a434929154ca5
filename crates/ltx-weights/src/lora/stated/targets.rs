//! Which layers have pairs by PEFT's configuration: `target_modules`, `exclude_modules`, `layers_to_transform`, `layers_pattern`. What
//! counts is which pairs a file holds; an entry that leaves out one of them is said. Source: `check_target_module_exists` of PEFT.
//!
//! Must not know files.

use super::{json::Json, pattern::compiled};
use crate::lora::names::bare;
use regex::Regex;
use std::collections::BTreeSet;

/// The word for every layer.
const ALL: &str = "all-linear";
/// Why a value is refused.
const MODULES: &str = "expected names of modules, or one regular expression";
const LAYERS: &str = "expected whole numbers of layers";
const PATTERNS: &str = "expected names of lists of layers";

/// Modules, by names or by an expression.
#[derive(Debug)]
enum Modules {
    Named(BTreeSet<String>),
    Matching(Box<Regex>),
}

impl Modules {
    /// From a value; `None` where it says nothing, or all, or is an expression that cannot be read.
    fn read(value: &Json) -> Result<Option<Self>, (String, String)> {
        let wrong = || (value.to_string(), MODULES.to_owned());
        match value {
            value if value.is_empty() => Ok(None),
            Json::Text(text) if text == ALL => Ok(None),
            Json::Text(text) => Ok(compiled("", text).map(|regex| Self::Matching(Box::new(regex)))),
            Json::List(_) => Ok(Some(Self::Named(texts(value).ok_or_else(wrong)?))),
            _ => Err(wrong()),
        }
    }

    /// Whether a layer is one of them by any of its names: a name or its end behind a dot, or all of it.
    fn hold(&self, names: &[String]) -> bool {
        names.iter().any(|name| match self {
            Self::Named(known) => {
                let ends = name.match_indices('.').map(|(at, _)| &name[at + 1..]);
                std::iter::once(name.as_str()).chain(ends).any(|end| known.contains(end))
            }
            Self::Matching(regex) => regex.is_match(name),
        })
    }
}

/// What a configuration says of the layers that have pairs.
#[derive(Debug, Default)]
pub(super) struct Targets {
    modules: Option<Modules>,
    excluded: Option<Modules>,
    layers: Option<BTreeSet<u64>>,
    patterns: BTreeSet<String>,
}

impl Targets {
    /// The entries that are read.
    pub(super) const ENTRIES: [&str; 4] =
        ["target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"];

    /// Takes one of them.
    ///
    /// # Errors
    /// It is of another kind: what it is, and what it should be.
    pub(super) fn take(&mut self, name: &str, value: &Json) -> Result<(), (String, String)> {
        let wrong = |why: &str| (value.to_string(), why.to_owned());
        match name {
            "target_modules" => self.modules = Modules::read(value)?,
            "exclude_modules" => self.excluded = Modules::read(value)?,
            "layers_to_transform" if *value == Json::Null => {}
            "layers_to_transform" => {
                let layers = numbers(value).ok_or_else(|| wrong(LAYERS))?;
                self.layers = (!layers.is_empty()).then_some(layers);
            }
            _ => self.patterns = texts(value).ok_or_else(|| wrong(PATTERNS))?,
        }
        Ok(())
    }

    /// The entries that leave out a layer with a pair, each with the first such layer; of each layer all of its names.
    pub(super) fn denied<'a>(&self, layers: impl Iterator<Item = &'a [String]>) -> Vec<(&'static str, &'a str)> {
        let mut denied: Vec<(&'static str, &'a str)> = Vec::new();
        for names in layers {
            let Some(first) = names.first() else { continue };
            let of_layer = [
                ("target_modules", self.modules.as_ref().is_some_and(|modules| !modules.hold(names))),
                ("exclude_modules", self.excluded.as_ref().is_some_and(|modules| modules.hold(names))),
                ("layers_to_transform", self.layers.as_ref().is_some_and(|layers| !self.is_among(layers, first))),
            ];
            for (entry, _) in of_layer.into_iter().filter(|(_, leaves_out)| *leaves_out) {
                if denied.iter().all(|(known, _)| *known != entry) {
                    denied.push((entry, first.as_str()));
                }
            }
        }
        denied
    }

    /// Whether a number in a layer's name is one of those of layers; one without a number is left alone.
    fn is_among(&self, layers: &BTreeSet<u64>, name: &str) -> bool {
        let words: Vec<&str> = name.split('.').collect();
        let number = |pair: &[&str]| {
            let of_list = self.patterns.is_empty() || self.patterns.contains(pair[0]);
            of_list.then(|| pair[1].parse::<u64>().ok()).flatten()
        };
        // What stands last is the layer itself.
        let numbers: Vec<u64> = words[..words.len() - 1].windows(2).filter_map(number).collect();
        numbers.is_empty() || numbers.iter().any(|number| layers.contains(number))
    }
}

/// Names: one, or a list of them, without what may stand before the model's own names as well as with it. `None` of anything else.
fn texts(value: &Json) -> Option<BTreeSet<String>> {
    let one = |value: &Json| match value {
        Json::Text(text) => Some(text.clone()),
        _ => None,
    };
    let names: Vec<String> = match value {
        Json::Null => Vec::new(),
        Json::List(list) => list.iter().map(one).collect::<Option<_>>()?,
        value => vec![one(value)?],
    };
    let bare: Vec<String> = names.iter().map(|name| bare(name).to_owned()).collect();
    Some(names.into_iter().chain(bare).filter(|name| !name.is_empty()).collect())
}

/// Numbers of layers: one, or a list of them. `None` of anything else.
fn numbers(value: &Json) -> Option<BTreeSet<u64>> {
    let whole = |number: &f64| *number >= 0.0 && number.fract() == 0.0;
    let one = |value: &Json| value.number().filter(whole).map(|number| number as u64);
    match value {
        Json::List(list) => list.iter().map(one).collect(),
        value => Some(BTreeSet::from([one(value)?])),
    }
}

/// Whether an entry is an expression that cannot be read here: one of Python's with look-around or with what the crate reads otherwise, or one
/// that is too large.
pub(super) fn is_unread(name: &str, value: &Json) -> bool {
    let is_expression = ["target_modules", "exclude_modules"].contains(&name) && !value.is_empty();
    matches!(value, Json::Text(text) if is_expression && compiled("", text).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(json: &str) -> Vec<&'static str> {
        let Json::Object(entries) = ltx_types::json::read_as(json.as_bytes()).unwrap() else { panic!("{json}") };
        let mut targets = Targets::default();
        entries.iter().for_each(|(name, value)| targets.take(name, value).unwrap());
        let layers = [
            vec![
                "transformer_blocks.0.attn1.to_q".to_owned(),
                "diffusion_model.transformer_blocks.0.attn1.to_q".into(),
            ],
            vec!["transformer_blocks.10.attn1.to_out.0".to_owned()],
            vec!["patchify_proj".to_owned(), "proj_in".to_owned()],
        ];
        targets.denied(layers.iter().map(Vec::as_slice)).into_iter().map(|(entry, _)| entry).collect()
    }

    #[test]
    fn a_pair_that_an_entry_leaves_out_is_told() {
        for json in [
            r#"{"target_modules": ["to_q", "to_out.0", "proj_in"], "exclude_modules": ["to_k", "q"]}"#,
            r#"{"target_modules": ["attn1.to_q", "diffusion_model.transformer_blocks.10.attn1.to_out.0", "patchify_proj"]}"#,
            r#"{"target_modules": ".*attn1.*|proj_in", "exclude_modules": "to_q"}"#,
            r#"{"target_modules": "all-linear", "exclude_modules": null, "layers_to_transform": null}"#,
            r#"{"target_modules": [], "exclude_modules": [], "layers_to_transform": [], "layers_pattern": []}"#,
            r#"{"layers_to_transform": [0, 10], "layers_pattern": "transformer_blocks"}"#,
            r#"{"layers_to_transform": [5], "layers_pattern": ["blocks"]}"#,
        ] {
            assert_eq!(denied(json), [] as [&str; 0], "{json}");
        }
        for (json, entry) in [
            (r#"{"target_modules": ["to_q"]}"#, "target_modules"),
            (r#"{"target_modules": ["o_q", "to_out.0", "proj_in"]}"#, "target_modules"),
            (r#"{"target_modules": "attn1.to_q"}"#, "target_modules"),
            (r#"{"exclude_modules": ["proj_in"]}"#, "exclude_modules"),
            (r#"{"exclude_modules": ".*to_q"}"#, "exclude_modules"),
            (r#"{"layers_to_transform": [10]}"#, "layers_to_transform"),
            (r#"{"layers_to_transform": 0, "layers_pattern": ["transformer_blocks"]}"#, "layers_to_transform"),
        ] {
            assert_eq!(denied(json), [entry], "{json}");
        }
    }

    #[test]
    fn what_names_no_modules_is_refused() {
        let unread = |text: &str| is_unread("target_modules", &Json::Text(text.into()));
        assert!(unread("(?!a)b") && unread("(") && unread("[a&&b]") && !unread(".*to_q") && !unread("all-linear"));
        assert!(denied(r#"{"target_modules": "(?!audio).*"}"#).is_empty());
        for (name, json) in [
            ("target_modules", "3"),
            ("target_modules", "[1]"),
            ("exclude_modules", r#"{"a": 1}"#),
            ("layers_to_transform", r#"["x"]"#),
            ("layers_to_transform", "-1"),
            ("layers_pattern", "7"),
        ] {
            assert!(
                Targets::default().take(name, &ltx_types::json::read_as(json.as_bytes()).unwrap()).is_err(),
                "{name}: {json}"
            );
        }
    }
}
