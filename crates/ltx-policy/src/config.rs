//! What an operator decides about policy: names, plans, and which models are loaded.
//!
//! Must not know files; whoever reads them fills this.

use crate::names::ModelNames;

/// The node's side of the policy.
#[derive(Debug, Clone)]
pub struct PolicyConfig {
    names: ModelNames,
    plans: Vec<String>,
    loaded: Option<Vec<String>>,
}

impl PolicyConfig {
    /// Plans that carry the benefit unless the operator lists others.
    pub const PLANS: [&'static str; 3] = ["Premium", "Pro", "Business"];

    /// The default plans, and every known model counted as loaded (the command line opens what it is asked for).
    pub fn new(names: ModelNames) -> Self {
        Self { names, plans: Self::PLANS.map(str::to_owned).to_vec(), loaded: None }
    }

    /// Replaces the plans that carry the benefit. They are matched whole, case and outer spaces ignored.
    #[must_use]
    pub fn with_plans(self, plans: impl IntoIterator<Item = String>) -> Self {
        Self { plans: plans.into_iter().collect(), ..self }
    }

    /// Says which models are loaded, by the manifests' names. The first is what a request without a model gets; none at
    /// all (a node that is still loading) refuses every request.
    #[must_use]
    pub fn with_loaded(self, loaded: impl IntoIterator<Item = String>) -> Self {
        Self { loaded: Some(loaded.into_iter().collect()), ..self }
    }

    /// The names the node knows.
    pub fn names(&self) -> &ModelNames {
        &self.names
    }

    /// The plans that carry the benefit.
    pub fn plans(&self) -> &[String] {
        &self.plans
    }

    /// The loaded models, the default first.
    pub fn loaded(&self) -> Vec<&str> {
        match &self.loaded {
            Some(loaded) => loaded.iter().map(String::as_str).collect(),
            None => self.names.known().iter().map(|model| model.name()).collect(),
        }
    }

    pub(crate) fn is_loaded(&self, model: &str) -> bool {
        self.loaded().contains(&model)
    }

    /// The model of a request that names none: `Ok(None)` when whoever runs it chooses, `Err` when nothing is loaded.
    pub(crate) fn default_model(&self) -> Result<Option<String>, NothingLoaded> {
        match &self.loaded {
            None => Ok(None),
            Some(loaded) => loaded.first().cloned().map(Some).ok_or(NothingLoaded),
        }
    }

    pub(crate) fn carries_benefit(&self, plan: &str) -> bool {
        let plain = |plan: &str| plan.trim().to_lowercase();
        self.plans.iter().any(|listed| plain(listed) == plain(plan))
    }
}

/// No model is loaded.
pub(crate) struct NothingLoaded;
