//! A configuration of PEFT's, entry by entry: what it makes of the pairs, and which entries make something that is not done here.
//! Source: `LoraConfig` of PEFT and how its layers load.
//!
//! Must not know where the configuration stands in a file.

use super::{
    json::Json,
    pattern::Patterns,
    targets::{self, Targets},
};
use crate::{
    entries::origin,
    lora::{kinds, problem::LoraProblem},
};

/// Entries that say how the pairs were trained or found, and nothing of what they are now.
const OF_TRAINING: [&str; 24] = [
    "alora_enabled",
    "corda_config",
    "ensure_weight_tying",
    "ephemeral_gpu_offload",
    "eva_config",
    "fan_in_fan_out", // PEFT takes it back for linear layers.
    "inference_mode",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules_to_tie",
    "velora_config",
    "monteclora_config",
    "rank_dropout",
    "module_dropout",
    "format",
    "adapter_name",
    "low_cpu_mem_usage",
];

/// Entries that name the model that the pairs were trained over.
const BASE: [&str; 2] = ["auto_mapping", "base_model_name_or_path"];

/// Entries that make another layer than `W + scale · B A` where they say anything, and what that layer is.
const OTHER_LAYERS: [(&str, &str); 11] = [
    ("use_dora", "DoRA scales every row of the sum; it is not read"),
    ("lora_bias", "the pairs have biases, which are not read"),
    ("modules_to_save", "whole modules are replaced beside the pairs, which is not read"),
    ("use_qalora", "QALoRA pools its inputs; it is not read"),
    ("layer_replication", "layers are repeated, which is not done here"),
    ("trainable_token_indices", "tokens of an embedding are replaced, which is not done here"),
    ("alora_invocation_tokens", "an activated LoRA counts for some tokens only, which is not done here"),
    ("target_parameters", "pairs over parameters that are no layers are not read"),
    ("arrow_config", "Arrow chooses among several adapters, which is not done here"),
    ("use_bdlora", "block-diagonal pairs are not read"),
    ("kasa_config", "KaSA has singular values of its own; it is not read"),
];

/// Beginnings that take something out of the weights they start from, so that the pairs fit no published weight.
const CHANGED_BASE: [&str; 5] = ["pissa", "olora", "loftq", "corda", "lora_ga"];

/// What a configuration makes of the pairs of one component.
#[derive(Debug, Default)]
pub(super) struct PeftConfig {
    rank: Option<u64>,
    alpha: Option<f64>,
    rank_pattern: Patterns,
    alpha_pattern: Patterns,
    /// The scale is alpha over the root of the rank.
    pub(super) root: bool,
    /// Which layers have pairs.
    pub(super) targets: Targets,
    /// What is said of entries that nothing is made of.
    pub(super) notes: Vec<String>,
}

impl PeftConfig {
    /// From its entries; `place` says where they stand. What is refused is added to `problems`.
    pub(super) fn read(place: &str, entries: &[(&str, &Json)], problems: &mut Vec<LoraProblem>) -> Self {
        let mut config = Self::default();
        for (name, value) in entries {
            if let Err((found, why)) = config.take(name, value) {
                problems.push(LoraProblem::Stated { entry: format!("{place} {name}"), found, why });
            }
            config.notes.extend(note(name, value).map(|why| format!("{place} {name} is {value}: {why}")));
        }
        config
    }

    fn take(&mut self, name: &str, value: &Json) -> Result<(), (String, String)> {
        let refuse = |why: &str| Err((value.to_string(), why.to_owned()));
        match name {
            "r" | "rank" | "lora_rank" | "network_dim" if *value != Json::Null => {
                self.rank = Some(rank(value).ok_or_else(|| (value.to_string(), RANK.to_owned()))?);
            }
            "lora_alpha" | "alpha" | "network_alpha" if *value != Json::Null => {
                let alpha =
                    value.number().ok_or_else(|| (value.to_string(), "expected one finite number".to_owned()))?;
                self.alpha = Some(alpha);
            }
            "rank_pattern" => self.rank_pattern = Patterns::read(value)?,
            "alpha_pattern" => self.alpha_pattern = Patterns::read(value)?,
            "use_rslora" => match value.flag() {
                Some(root) => self.root = root,
                None => return refuse("expected true or false"),
            },
            "bias" => match value {
                Json::Null => {}
                Json::Text(text) if text == "none" => {}
                _ => return refuse("biases of the model were trained with the pairs, which is not read"),
            },
            "peft_type" => match value {
                Json::Null => {}
                Json::Text(text) if text.eq_ignore_ascii_case("lora") => {}
                Json::Text(text) => {
                    let kind = kinds::named(text).unwrap_or(text);
                    return refuse(&format!(
                        "an adapter of the kind {kind} is not read; take a file of plain LoRA pairs"
                    ));
                }
                _ => return refuse("expected LORA"),
            },
            "init_lora_weights" => {
                let started =
                    |begin: &&str| matches!(value, Json::Text(text) if text.to_ascii_lowercase().starts_with(*begin));
                if let Some(begin) = CHANGED_BASE.iter().find(|begin| started(begin)) {
                    return refuse(&format!(
                        "pairs that begin as {begin} stand over weights that were changed with them; save them as a plain LoRA \
                         (PEFT: path_initial_model_for_weight_conversion), which states true here"
                    ));
                }
            }
            name if Targets::ENTRIES.contains(&name) => self.targets.take(name, value)?,
            name if OF_TRAINING.contains(&name) || BASE.contains(&name) || name == TASK => {}
            name => match OTHER_LAYERS.iter().find(|(other, _)| *other == name) {
                _ if value.is_empty() => {}
                Some((_, why)) => return refuse(why),
                None => {
                    return refuse(
                        "an entry that is not known here; whether it changes what the pairs add cannot be told",
                    );
                }
            },
        }
        Ok(())
    }

    /// The rank that is stated for a layer of these names, and by which entry.
    pub(super) fn rank_of(&self, names: &[String]) -> Option<(String, u64)> {
        match first(&self.rank_pattern, names) {
            Some((pattern, value)) => {
                Some((format!("rank_pattern {pattern}"), rank(&Json::Number(value)).unwrap_or(0)))
            }
            None => self.rank.map(|rank| ("r".to_owned(), rank)),
        }
    }

    /// The alpha that is stated for a layer of these names.
    pub(super) fn alpha_of(&self, names: &[String]) -> Option<(String, f64)> {
        match first(&self.alpha_pattern, names) {
            Some((pattern, value)) => Some((format!("alpha_pattern {pattern}"), value)),
            None => self.alpha.map(|alpha| ("lora_alpha".to_owned(), alpha)),
        }
    }

    /// The entry and the text of every pattern that matches none of a file's layers.
    pub(super) fn unmatched(&self, layers: &[Vec<String>]) -> Vec<(&'static str, String)> {
        let of = |entry: &'static str, patterns: &Patterns| {
            patterns.unmatched(layers).map(|text| (entry, text.to_owned())).collect::<Vec<_>>()
        };
        [of("rank_pattern", &self.rank_pattern), of("alpha_pattern", &self.alpha_pattern)].concat()
    }

    /// Whether it is of a kind that has an alpha, without saying which.
    pub(super) fn lacks_alpha(&self) -> bool {
        self.rank.is_some() || !self.rank_pattern.is_empty() || !self.alpha_pattern.is_empty() || self.root
    }
}

/// What is said of an entry that names another model, or what the pairs were trained for.
fn note(name: &str, value: &Json) -> Option<&'static str> {
    if value.is_empty() {
        return None;
    }
    if targets::is_unread(name, value) {
        return Some("an expression that cannot be read here, so which layers it leaves out is not told");
    }
    let other = BASE.contains(&name) && !names_ltx(value);
    let why = if name == "auto_mapping" { OTHER_CLASS } else { OTHER_BASE };
    other.then_some(why).or((name == TASK).then_some(OTHER_TASK))
}

/// Whether some text within JSON names a model of LTX.
fn names_ltx(value: &Json) -> bool {
    match value {
        Json::Text(text) => origin::names_ltx(text),
        Json::List(list) => list.iter().any(names_ltx),
        Json::Object(entries) => entries.iter().any(|(_, value)| names_ltx(value)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

/// The entry that says what a language model with the pairs is for.
const TASK: &str = "task_type";
const OTHER_BASE: &str = "it names no model of LTX, and is left alone";
const OTHER_CLASS: &str = "it names no class of LTX, and is left alone";
const OTHER_TASK: &str = "the video model has no such tasks, and it is left alone";
const RANK: &str = "expected a whole number above 0";

fn rank(value: &Json) -> Option<u64> {
    value.number().filter(|rank| *rank >= 1.0 && *rank <= 1e9 && rank.fract() == 0.0).map(|rank| rank as u64)
}

fn first<'a>(patterns: &'a Patterns, names: &[String]) -> Option<(&'a str, f64)> {
    names.iter().find_map(|name| patterns.find(name))
}
