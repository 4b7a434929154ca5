//! What a pipeline's folder of diffusers states of its schedule. Steps and sigmas here are those of the authors' flows and of the
//! request, so what the folder states beyond the usual is said.
//!
//! Must not know schedules.

use ltx_types::json::alike;
use serde_json::{Map, Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

const FILE: &str = "scheduler/scheduler_config.json";

/// Entries that mean something only with dynamic shifting, or nothing.
const MEANING_NOTHING: [&str; 5] =
    ["_diffusers_version", "base_image_seq_len", "base_shift", "max_image_seq_len", "max_shift"];

/// Entries that change sigmas, and the value with which they do not.
fn idle() -> [(&'static str, Value); 11] {
    [
        ("_class_name", json!("FlowMatchEulerDiscreteScheduler")),
        ("num_train_timesteps", json!(1000)),
        ("time_shift_type", json!("exponential")),
        ("shift", json!(1.0)),
        ("shift_terminal", Value::Null),
        ("use_dynamic_shifting", json!(false)),
        ("use_karras_sigmas", json!(false)),
        ("use_exponential_sigmas", json!(false)),
        ("use_beta_sigmas", json!(false)),
        ("invert_sigmas", json!(false)),
        ("stochastic_sampling", json!(false)),
    ]
}

/// What is said of the schedule that the folder of a pipeline states, if `files` are of one.
pub(super) fn note(files: &[PathBuf]) -> Option<String> {
    let transformer =
        files.first()?.parent().filter(|folder| folder.file_name().is_some_and(|name| name == "transformer"))?;
    let path = transformer.parent()?.join(FILE);
    match ltx_types::json::read(&fs::read(&path).ok()?) {
        Ok(Value::Object(config)) => said(&path, &config),
        Ok(_) => Some(format!("{}: is no object, and left alone", path.display())),
        Err(error) => Some(format!("{}: is no JSON, and left alone: {error}", path.display())),
    }
}

fn said(path: &Path, config: &Map<String, Value>) -> Option<String> {
    let idle = idle();
    let differs = |(entry, stated): (&String, &Value)| {
        let usual = idle.iter().find(|(known, _)| known == entry).is_some_and(|(_, usual)| alike(stated, usual));
        let counts = !stated.is_null() && !usual && !MEANING_NOTHING.contains(&entry.as_str());
        counts.then(|| format!("{entry} {stated}"))
    };
    let stated: Vec<String> = config.iter().filter_map(differs).collect();
    (!stated.is_empty()).then(|| {
        let path = path.display();
        format!("{path}: states {}; sigmas are those of the schedule asked for, or of --sigmas", stated.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_sigmas_is_said() {
        let of = |config: Value| said(Path::new("s.json"), config.as_object().unwrap());
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
}
