//! What a pipeline's folder of diffusers states of its schedule. Steps and sigmas here are those of the authors' flows and of the
//! request, so what the folder states beyond the usual is said.
//!
//! Must not know schedules.

use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

const FILE: &str = "scheduler/scheduler_config.json";

/// Entries that change sigmas, and the value with which they do not.
fn idle() -> [(&'static str, Value); 8] {
    [
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
    said(&path, &serde_json::from_slice(&fs::read(&path).ok()?).ok()?)
}

fn said(path: &Path, config: &Value) -> Option<String> {
    let differs = |(entry, idle): &(&str, Value)| {
        let stated = config.get(*entry).filter(|stated| !stated.is_null())?;
        // 1 and 1.0 are one number.
        let same = stated == idle || stated.as_f64().is_some_and(|number| idle.as_f64() == Some(number));
        (!same).then(|| format!("{entry} {stated}"))
    };
    let stated: Vec<String> = idle().iter().filter_map(differs).collect();
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
        let of = |config: Value| said(Path::new("s.json"), &config);
        assert_eq!(
            of(json!({"shift": 1, "use_karras_sigmas": false, "shift_terminal": null, "num_train_timesteps": 1000})),
            None
        );
        let found = of(json!({"shift": 5.0, "use_karras_sigmas": true, "shift_terminal": 0.1})).unwrap();
        for entry in ["shift 5.0", "use_karras_sigmas true", "shift_terminal 0.1"] {
            assert!(found.contains(entry), "{found}");
        }
    }
}
