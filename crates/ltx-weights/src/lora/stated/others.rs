//! Entries of a LoRA file's header that no rule here reads: those that change nothing are known by name, those whose name or content
//! says how much pairs count are refused, others are said.
//!
//! Must not know what the entries that are read mean.

use super::{
    json::{Json, json_of},
    named,
};
use crate::{
    entries::{is_empty, is_factor, known, origin, says_nothing, shown, telling, user},
    lora::problem::LoraProblem,
};
use ltx_types::{unknown_entry, words};

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

/// How deep entries in entries are looked at.
const DEPTH: usize = 16;

/// A note on an entry, where there is something to say.
///
/// # Errors
/// It says how much the pairs count, in a place that is not read.
pub(super) fn look_at(name: &str, text: &str) -> Result<Option<String>, LoraProblem> {
    if let Some(note) = origin::note(name, text, origin::Kind::Lora) {
        return Ok(Some(note));
    }
    // Trainers write the version of their own record under that name.
    if known::is_idle(name) || name == "version" || is_empty(text) {
        return Ok(None);
    }
    let left_alone = || unknown_entry(format_args!("header entry {name}"), shown(text));
    if says_nothing(name, text) {
        // A switch that would be refused, and is off, is known; so is a trainer's record.
        let known = user::is_of_a_record(name) || named::another_kind("", name, &Json::Bool(true)).is_some();
        return Ok((!known).then(left_alone));
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
    let stated = if user::is_no_statement(name) { None } else { Some(json_of(text)) };
    if let Some(stated) = &stated {
        if let Some(why) = named::another_kind("", name, stated) {
            return refused(&why);
        }
        if named::is_a_factor("", name, stated) {
            return refused("a factor that is not known here, and its name says how much the pairs count; take it out");
        }
    }
    match stated.and_then(|stated| found_in(&stated, name, DEPTH)) {
        Some((word, Some(why))) => return refused(&format!("it states {word}: {why}")),
        Some((word, None)) => {
            return refused(&format!(
                "it states {word}, and is no place that is read; move it to lora_adapter_metadata, or take it out"
            ));
        }
        None => {}
    }
    if user::is_of_a_record(name) {
        return Ok(None);
    }
    Ok(Some(left_alone()))
}

/// The first entry within JSON, JSON within its texts included, that says how much pairs count, or that they are none, with the reason
/// in the second case; all of it stands under an entry of this name. What people wrote says nothing.
fn found_in(json: &Json, under: &str, depth: usize) -> Option<(String, Option<String>)> {
    let within = |json: &Json, under: &str| depth.checked_sub(1).and_then(|depth| found_in(json, under, depth));
    match json {
        Json::Object(entries) => {
            let says = |(name, value): &(String, Json)| {
                let own = name.rsplit('.').next().unwrap_or(name);
                let known = WORDS.contains(&words(own).join("_").as_str()) && !value.is_empty();
                let is_one = || is_factor(own) && value.number() == Some(1.0);
                if (known && !is_one()) || named::counts(own, value) || named::is_a_factor(under, own, value) {
                    return Some((name.clone(), None));
                }
                named::another_kind(under, own, value).map(|why| (name.clone(), Some(why)))
            };
            let stating = || entries.iter().filter(|(name, _)| !user::is_no_statement(name));
            // What stands deeper in a training's settings is of the training, unless it is the adapter's.
            let of = |name| if user::is_of_training(under) && !user::is_of_an_adapter(name) { under } else { name };
            entries.iter().find_map(says).or_else(|| stating().find_map(|(name, value)| within(value, of(name))))
        }
        Json::List(list) => list.iter().find_map(|json| within(json, under)),
        Json::Text(text) => match json_of(text) {
            Json::Text(_) => None,
            inner => within(&inner, under),
        },
        Json::Null | Json::Bool(_) | Json::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_or_1_under_an_unknown_name_is_said() {
        for (name, text) in [("scale", "1.0"), ("network_alphas", "None"), ("mood", "false")] {
            let said = look_at(name, text).unwrap().unwrap();
            assert_eq!(said, format!("header entry {name} is {text}: not known here, and left alone"));
        }
        for (name, text) in [("rs_lora", "False"), ("use_dora", "false"), ("ss_multiplier", "1"), ("mood", "null")] {
            assert_eq!(look_at(name, text), Ok(None), "{name}");
        }
        let said = look_at("modelspec.architecture", "wan2.1/lora").unwrap().unwrap();
        assert_eq!(
            said,
            "header entry modelspec.architecture is wan2.1/lora: it names no model of LTX, and is left alone"
        );
    }

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
            ("ss_training_config", r#"{"alpha": 3}"#),
            ("training", r#"{"scale": 1, "optimizer": {"lr_scale": 2, "weight_decay": 0.1}}"#),
            ("training", r#"[{"guidance_scale": 3}, "[1, 2]"]"#),
            ("metadata", r#"{"optimizer": {"algo": "adamw", "state_gain": 0.5}}"#),
            ("metadata", r#"{"optimizer": {"params": {"state_gain": 0.5, "algo": "adamw"}}}"#),
            ("training", r#"{"loss": {"noise_amount": 0.5}}"#),
            ("rs_lora", "False"),
            ("lora_weight", "1.0"),
        ] {
            assert!(look_at(name, text).is_ok(), "{name}");
        }
        for (name, text) in [
            ("ss_network_more", r#"{"alpha": 3}"#),
            ("ss_lora_config", r#"{"lora_alpha": 3}"#),
            ("metadata", r#"{"tags": {"alpha": 3}, "model": {"loraAlpha": 2}}"#),
            ("training", r#"{"rank": 4}"#),
            ("network_config", r#"{"linear": 4, "linear_alpha": 2}"#),
            ("metadata", r#"{"lora_dim": 4, "lora_scale_factor": 0.5}"#),
            ("metadata", r#"[{"lora_alpha": 2}]"#),
            ("metadata", r#"{"network": "{\"lora_alpha\": 2}"}"#),
            ("training", r#"{"lora": {"lora_weight": 0.5}}"#),
            ("network", r#"{"algo": "loha"}"#),
            ("network", r#"{"dora": true}"#),
            ("rs_lora", "True"),
            ("rslora", "true"),
            ("use_rs_lora", "true"),
            ("dora", "true"),
            ("weight_decompose", "True"),
            ("algo", "loha"),
            ("network_module", "lycoris.loha"),
            ("lora_weight", "0.5"),
        ] {
            assert!(look_at(name, text).is_err(), "{name}");
        }
    }
}
