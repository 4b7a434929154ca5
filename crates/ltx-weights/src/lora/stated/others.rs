//! Entries of a LoRA file's header that no rule here reads: those that change nothing are known by name, those whose name or content
//! says how much pairs count are refused, others are said.
//!
//! Must not know what the entries that are read mean.

use super::json::Json;
use crate::{
    entries::{known, says_nothing, shown, telling, user},
    lora::problem::LoraProblem,
};
use ltx_types::words;

/// Entries of JSON that say how much pairs count, by the names that trainers have for them.
const WORDS: [&str; 20] = [
    "r",
    "rank",
    "ranks",
    "lora_rank",
    "network_dim",
    "alpha",
    "alphas",
    "lora_alpha",
    "network_alpha",
    "network_alphas",
    "rank_pattern",
    "alpha_pattern",
    "use_rslora",
    "use_dora",
    "scale",
    "lora_scale",
    "scaling",
    "strength",
    "lora_strength",
    "multiplier",
];

/// A note on an entry, where there is something to say.
///
/// # Errors
/// It says how much the pairs count, in a place that is not read.
pub(super) fn look_at(name: &str, text: &str) -> Result<Option<String>, LoraProblem> {
    if known::is_idle(name) || says_nothing(name, text) {
        return Ok(None);
    }
    let refused = |why: &str| {
        Err(LoraProblem::Stated { entry: format!("header entry {name}"), found: shown(text), why: why.to_owned() })
    };
    if telling(name).is_some() {
        return refused(
            "an entry that is not known here, and its name says how much the pairs count; state it as lora_alpha and r in \
             lora_adapter_metadata, or take it out",
        );
    }
    let read = || serde_json::from_str::<Json>(text).ok().filter(|json| matches!(json, Json::Object(_)));
    let stated = if user::is_no_statement(name) { None } else { read() };
    if let Some(word) = stated.as_ref().and_then(word_in) {
        return refused(&format!(
            "it states {word}, and is no place that is read; move it to lora_adapter_metadata, or take it out"
        ));
    }
    if user::is_of_a_record(name) {
        return Ok(None);
    }
    Ok(Some(format!("header entry {name} is {}: not known here, and left alone", shown(text))))
}

/// The first entry of an object, or of an object in it, that says how much pairs count. What people wrote says nothing.
fn word_in(json: &Json) -> Option<&str> {
    let Json::Object(entries) = json else { return None };
    let says = |(name, value): &&(String, Json)| {
        let name = words(name.rsplit('.').next().unwrap_or(name)).join("_");
        WORDS.contains(&name.as_str()) && !value.is_empty()
    };
    let own = entries.iter().find(says).map(|(name, _)| name.as_str());
    let stating = || entries.iter().filter(|(name, _)| !user::is_no_statement(name));
    own.or_else(|| stating().find_map(|(_, value)| word_in(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_states_nothing() {
        for (name, text) in [
            ("ss_tag_frequency", r#"{"10_ic": {"r": 3, "scale": 9, "alpha": 2}}"#),
            ("ss_dataset_dirs", r#"{"rank": {"n_repeats": 10, "img_count": 4}}"#),
            ("ss_reg_dataset_dirs", r#"{"alpha": {"n_repeats": 1}}"#),
            ("ss_bucket_info", r#"{"buckets": {"0": {"resolution": [512, 512], "scale": 2}}}"#),
            ("ss_datasets", r#"[{"tag_frequency": {"a": {"strength": 3}}}]"#),
            ("ss_optimizer_args", r#"{"scale": 0.5}"#),
            ("captions", r#"{"1.mp4": {"scale": 3}}"#),
            ("prompts", r#"{"strength": "a man of strength"}"#),
            ("dataset", r#"{"alpha": {"r": 4}}"#),
            ("metadata", r#"{"tags": {"alpha": 3}, "title": {"scale": 2}}"#),
            ("scale_note", "0.5 is best"),
        ] {
            assert!(look_at(name, text).is_ok(), "{name}");
        }
        for (name, text) in [
            ("ss_network_more", r#"{"alpha": 3}"#),
            ("ss_lora_config", r#"{"lora_alpha": 3}"#),
            ("metadata", r#"{"tags": {"alpha": 3}, "model": {"loraAlpha": 2}}"#),
            ("training", r#"{"rank": 4}"#),
        ] {
            assert!(look_at(name, text).is_err(), "{name}");
        }
    }
}
