//! Admission: a request becomes evidence that it may run, or a refusal.
//!
//! Must not know how a generation is made, nor where requests are stored.

use crate::{
    ask::Ask,
    config::PolicyConfig,
    mark::{ModelIdentity, UsageMark},
    refusal::Refusal,
    rules,
};
use ltx_types::{FieldError, FieldErrors, Generation, GenerationDraft, Method, ModelRules};
use serde::{Deserialize, Serialize};

/// A request that policy let through. Only this crate makes one; it cannot be deserialised.
#[derive(Debug, Clone)]
pub struct Admitted<T> {
    ask: Ask,
    method: Method,
    model: Option<String>,
    request: T,
}

impl<T> Admitted<T> {
    /// The method it was admitted under.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The manifest's name of the model it runs on. `None` only where the configuration does not say which models are
    /// loaded and the request names none: whoever runs it chooses.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The request.
    pub fn request(&self) -> &T {
        &self.request
    }
}

impl Admitted<GenerationDraft> {
    /// The same with faults that others found in it: [`check`](Self::check) refuses them with its own.
    #[must_use]
    pub fn with_faults(mut self, found: impl IntoIterator<Item = FieldError>) -> Self {
        self.request.faults.extend(found);
        self
    }

    /// Checks the fields, now that policy has no objection; `rules` are those of the model that it runs on.
    ///
    /// # Errors
    /// Every field that is wrong, with the nearest legal value.
    pub fn check(self, rules: &ModelRules) -> Result<Admitted<Generation>, FieldErrors> {
        let request = self.request.check_by(rules, self.method)?;
        Ok(Admitted { ask: self.ask, method: self.method, model: self.model, request })
    }

    /// What to keep so that [`readmit`] can judge the request again. It is no evidence of anything.
    pub fn to_stored(&self) -> StoredRequest {
        StoredRequest { ask: self.ask.clone(), model: self.model.clone(), draft: self.request.clone() }
    }
}

impl Admitted<Generation> {
    /// The mark of what this generation will produce.
    pub fn mark(&self, model: &ModelIdentity, node: &str) -> UsageMark {
        UsageMark::new(&self.request, model, node)
    }
}

/// A request as it is kept. Plain data: anyone can make one, and it opens nothing before [`readmit`] has judged it. Images
/// that came as bytes must have been replaced by paths, or serialising fails.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredRequest {
    /// What policy was asked.
    pub ask: Ask,
    /// The model it was given then; it runs on no other, so that its frames stay the same.
    pub model: Option<String>,
    /// The request.
    pub draft: GenerationDraft,
}

/// Judges a request by the policy table. Every reason that holds is in the refusal, the first in table order first.
///
/// # Errors
/// The request is not of the unlimited class.
pub fn admit(ask: &Ask, draft: GenerationDraft, config: &PolicyConfig) -> Result<Admitted<GenerationDraft>, Refusal> {
    let verdict = rules::judge(ask, &draft, config)?;
    Ok(Admitted { ask: ask.clone(), method: verdict.method, model: verdict.model, request: draft })
}

/// Judges a stored request again, by the same table and today's configuration.
///
/// # Errors
/// The request is not of the unlimited class, or the model it was given is no longer loaded.
pub fn readmit(stored: StoredRequest, config: &PolicyConfig) -> Result<Admitted<GenerationDraft>, Refusal> {
    let verdict = rules::judge(&stored.ask, &stored.draft, config)?;
    let model = match stored.model {
        Some(given) if !config.is_loaded(&given) => {
            let why = format!("{given}, which the request was given, is not loaded here");
            return Err(Refusal::new(rules::not_loaded(why, config), []));
        }
        Some(given) => Some(given),
        None => verdict.model,
    };
    Ok(Admitted { ask: stored.ask, method: verdict.method, model, request: stored.draft })
}

/// The answer to the operation that edits elements inside a generated video: always a refusal, with whatever else holds.
pub fn refuse_edit_elements(ask: &Ask, config: &PolicyConfig) -> Refusal {
    rules::refuse(rules::element_editing_ground(config), ask, config)
}

/// The answer to the operation that makes sound for a generated video: always a refusal, with whatever else holds.
pub fn refuse_generate_audio(ask: &Ask, config: &PolicyConfig) -> Refusal {
    rules::refuse(rules::audio_ground(&ask.audio, config), ask, config)
}
