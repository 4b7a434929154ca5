//! What files state of a schedule: a pipeline's folder of diffusers, and the section `scheduler` of an official configuration. Steps and
//! sigmas here are those of the authors' flows and of the request, so what is stated beyond the usual is said.
//!
//! Must not know schedules.

use ltx_types::json::alike;
use serde_json::{Map, Value, json};
use std::{fs, path::Path};

const FILE: &str = "scheduler/scheduler_config.json";
const SECTION: &str = "scheduler";

/// Entries that mean something only with dynamic shifting, or nothing.
const MEANING_NOTHING: [&str; 5] =
    ["_diffusers_version", "base_image_seq_len", "base_shift", "max_image_seq_len", "max_shift"];

/// Entries of a folder that change sigmas, and the value with which they do not.
fn of_diffusers() -> Vec<(&'static str, Value)> {
    vec![
        ("_class_name", json!("FlowMatchEulerDiscreteScheduler")),
        ("num_train_timesteps", json!(1000)),
        ("time_shift_type", json!("exponential")),
        ("shift", json!(1.0)),
        ("use_dynamic_shifting", json!(false)),
        ("use_karras_sigmas", json!(false)),
        ("use_exponential_sigmas", json!(false)),
        ("use_beta_sigmas", json!(false)),
        ("invert_sigmas", json!(false)),
        ("stochastic_sampling", json!(false)),
    ]
}

/// The same of an official configuration, as published ones have them.
fn official() -> Vec<(&'static str, Value)> {
    vec![
        ("_class_name", json!("RectifiedFlowScheduler")),
        ("num_train_timesteps", json!(1000)),
        ("sampler", json!("LinearQuadratic")),
    ]
}

/// What is said of the schedule that the folder of a pipeline states.
pub(super) fn note(folder: &Path) -> Option<String> {
    let path = folder.join(FILE);
    let shown = path.display();
    match ltx_types::json::read(&fs::read(&path).ok()?) {
        Ok(Value::Object(config)) => said(&shown.to_string(), &config, &of_diffusers()),
        Ok(_) => Some(format!("{shown}: is no object, and left alone")),
        Err(error) => Some(format!("{shown}: is no JSON, and left alone: {error}")),
    }
}

/// What is said of the schedule that the configuration of `file` states.
pub(crate) fn note_of(file: &Path, config: &Value) -> Option<String> {
    let place = format!("{}: its configuration's {SECTION}", file.display());
    match config.get(SECTION)? {
        Value::Null => None,
        Value::Object(section) => said(&place, section, &official()),
        _ => Some(format!("{place} is no object, and left alone")),
    }
}

fn said(place: &str, config: &Map<String, Value>, usual: &[(&str, Value)]) -> Option<String> {
    let differs = |(entry, stated): (&String, &Value)| {
        let usual = usual.iter().find(|(known, _)| known == entry).is_some_and(|(_, usual)| alike(stated, usual));
        let counts = !stated.is_null() && !usual && !MEANING_NOTHING.contains(&entry.as_str());
        counts.then(|| format!("{entry} {stated}"))
    };
    let stated: Vec<String> = config.iter().filter_map(differs).collect();
    (!stated.is_empty()).then(|| {
        format!("{place}: states {}; sigmas are those of the schedule asked for, or of --sigmas", stated.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_sigmas_is_said() {
        let of = |config: Value| said("s.json", config.as_object().unwrap(), &of_diffusers());
        assert_eq!(
            of(json!({"shift": 1, "use_karras_sigmas": false, "shift_terminal": null, "num_train_timesteps": 1000})),
            None
        );
        let found = json!({"shift": 5.0, "use_karras_sigmas": true, "shift_terminal": 0.1, "_class_name": "DDIM", "mood": "calm"});
        let found = of(found).unwrap();
        for entry in
            ["shift 5.0", "use_karras_sigmas true", "shift_terminal 0.1", "_class_name \"DDIM\"", "mood \"calm\""]
        {
            assert!(found.contains(entry), "{found}");
        }
    }

    #[test]
    fn so_is_what_an_official_configuration_states_beyond_the_published_ones() {
        let of = |section: Value| note_of(Path::new("m.safetensors"), &json!({ SECTION: section }));
        let published = json!({"_class_name": "RectifiedFlowScheduler", "_diffusers_version": "0.25.1",
            "num_train_timesteps": 1000, "shifting": null, "base_resolution": null, "sampler": "LinearQuadratic"});
        assert_eq!((of(published.clone()), of(Value::Null), of(json!({}))), (None, None, None));
        let mut other = published;
        other["shifting"] = json!("SD3");
        other["target_shift_terminal"] = json!(0.1);
        other["sampler"] = json!("Uniform");
        let found = of(other).unwrap();
        for part in
            ["m.safetensors", "scheduler", "shifting \"SD3\"", "target_shift_terminal 0.1", "sampler \"Uniform\""]
        {
            assert!(found.contains(part), "{found}");
        }
        assert!(of(json!(3)).unwrap().contains("no object"));
    }
}
