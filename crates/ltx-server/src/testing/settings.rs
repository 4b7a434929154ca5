//! The section `testing` of node.toml.
//!
//! Must not know how a fault is made. Its values are read as those of the header are.

use super::{Faults, Testing};
use ltx_jobs::{CurrentPolicy, RunFaults};
use ltx_types::FieldError;
use serde::Deserialize;

/// Faults for every call and every run, on a node that says so.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestingSettings {
    /// Whether faults may be asked for at all.
    pub enabled: bool,
    /// The step after which every generation fails; 0 for none.
    pub fail_at_step: i64,
    /// The code with which it fails; empty for ENGINE.
    pub fail_as: String,
    /// Milliseconds that every step takes longer.
    pub slow_steps_ms: i64,
    /// The step after which the process ends; 0 for none.
    pub restart_at_step: i64,
    /// Whether the queue counts as full.
    pub queue_full: bool,
    /// Whether the disk counts as full.
    pub disk_full: bool,
    /// The reason with which CreateGeneration is refused; empty for none.
    pub refuse: String,
    /// Seconds after which CreateGeneration, unavailable, is worth another try; 0 for none.
    pub unavailable_seconds: f64,
    /// Events after which a watch is cut; 0 for none.
    pub cut_watch_after: i64,
    /// Bytes after which a download is cut; 0 for none.
    pub cut_download_after: i64,
}

impl TestingSettings {
    /// Whether they hold together.
    ///
    /// # Errors
    /// A fault without `enabled`, or a value that is none, by its key.
    pub fn validate(&self) -> Result<(), FieldError> {
        self.faults().map(drop)
    }

    /// What the runs of a node with them meet; `None` on a node that makes no faults.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn run_faults(&self) -> Result<Option<RunFaults>, FieldError> {
        Ok(self.faults()?.map(|faults| faults.run))
    }

    /// What a node with them knows of faults; `None` on one that makes none.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub(crate) fn testing(&self, policy: &CurrentPolicy) -> Result<Option<Testing>, FieldError> {
        Ok(self.faults()?.map(|faults| Testing::new(faults, policy.clone())))
    }

    fn faults(&self) -> Result<Option<Faults>, FieldError> {
        let mut faults = Faults::default();
        for (key, value) in self.said() {
            if !self.enabled {
                let rule = "is a fault for tests of clients, which needs testing.enabled = true";
                return Err(FieldError::new(key, value, rule));
            }
            let name = key.trim_start_matches("testing.");
            faults.set(name, &value).map_err(|rule| FieldError::new(key, &value, rule))?;
        }
        faults.check().map_err(|rule| FieldError::new("testing.fail_as", &self.fail_as, rule))?;
        Ok(self.enabled.then_some(faults))
    }

    /// Keys that are not at their defaults, with their values.
    fn said(&self) -> Vec<(&'static str, String)> {
        let number = |number: i64| (number != 0).then(|| number.to_string());
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        let switch = |on: bool| on.then(|| "true".to_owned());
        let keys = [
            ("testing.fail_at_step", number(self.fail_at_step)),
            ("testing.fail_as", text(&self.fail_as)),
            ("testing.slow_steps_ms", number(self.slow_steps_ms)),
            ("testing.restart_at_step", number(self.restart_at_step)),
            ("testing.queue_full", switch(self.queue_full)),
            ("testing.disk_full", switch(self.disk_full)),
            ("testing.refuse", text(&self.refuse)),
            (
                "testing.unavailable_seconds",
                (self.unavailable_seconds != 0.0).then(|| self.unavailable_seconds.to_string()),
            ),
            ("testing.cut_watch_after", number(self.cut_watch_after)),
            ("testing.cut_download_after", number(self.cut_download_after)),
        ];
        keys.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::Settings;
    use ltx_testkit::{default_settings, fake::policy};

    #[test]
    fn nothing_is_possible_unless_it_is_enabled() {
        let off = default_settings::<Settings>().testing;
        assert_eq!(off.run_faults(), Ok(None));
        assert!(off.testing(&policy().into()).unwrap().is_none());
        let mut disabled = off.clone();
        disabled.queue_full = true;
        let error = disabled.validate().unwrap_err();
        assert_eq!(
            error.to_string(),
            "testing.queue_full: true is a fault for tests of clients, which needs testing.enabled = true"
        );
    }

    #[test]
    fn values_are_refused_by_their_keys() {
        let mut on = default_settings::<Settings>().testing;
        on.enabled = true;
        let testing = on.testing(&policy().into()).unwrap().unwrap();
        assert_eq!(testing.words(), Vec::<String>::new());
        on.fail_at_step = -1;
        assert!(on.validate().unwrap_err().to_string().starts_with("testing.fail_at_step: -1 is not a step"));
        on.fail_at_step = 3;
        on.refuse = "NO_SUCH".into();
        let error = on.validate().unwrap_err().to_string();
        assert!(
            error.starts_with("testing.refuse: NO_SUCH is no reason of errors.proto; there are: NOT_AN"),
            "{error}"
        );
        (on.refuse, on.fail_at_step, on.fail_as) = (String::new(), 0, "IMAGE".into());
        assert!(on.validate().unwrap_err().to_string().starts_with("testing.fail_as: IMAGE says how"));
    }
}
