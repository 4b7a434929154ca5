//! The models a node has, as jobs need them: loaded on the device thread, and asked about from anywhere.
//!
//! Must not know checkpoints.

use ltx_engine::{CacheKey, EngineError, Generator, MemoryPlan, PromptTokens};
use ltx_policy::ModelIdentity;
use ltx_types::{Generation, ModelRules, Rates, StageWork};
use std::sync::Arc;

/// Why a model's engine was not built.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The node has no model of that name.
    #[error("it is none of the node's models")]
    NotHere,
    /// The model's files cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The rates of where models compute, and what tells that machine from others and from itself at another time.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownRates {
    /// Of program, processor, threads and precision. Not empty.
    pub key: String,
    /// The rates.
    pub rates: Rates,
}

/// The node's models, by their manifests' names.
pub trait Models: Send + Sync + 'static {
    /// Builds a model's engine. Called on the device thread, where the engine stays until another model is wanted or a
    /// generation panics.
    ///
    /// # Errors
    /// The model is not here, or its files cannot be used.
    fn load(&self, model: &str) -> Result<Box<dyn Generator>, LoadError>;

    /// What the mark of a request's clip says about its model; `None` for one that is not here.
    fn identity(&self, model: &str, request: &Generation) -> Option<ModelIdentity>;

    /// What requests for a model are held against; `None` for one that is not here. Whether clips may be longer than the model
    /// was trained on is for the node's settings to say, not for the model.
    fn rules(&self, model: &str) -> Option<ModelRules>;

    /// What a request would need on a model, from shapes alone, its text stage included: a context that is kept now may be gone when
    /// it runs. `None` for a model that is not here. Called from many threads and, when a request does not fit, a few dozen times in
    /// a row.
    fn plan(&self, model: &str, request: &Generation) -> Option<MemoryPlan>;

    /// The keys by which the contexts of a request's prompts are kept; none where they are not kept, or the model is not here.
    fn context_keys(&self, _model: &str, _request: &Generation) -> Vec<CacheKey> {
        Vec::new()
    }

    /// How many tokens a prompt has for a model, and how many it takes; `None` for one that is not here. Called from many
    /// threads.
    fn prompt_tokens(&self, model: &str, prompt: &str) -> Option<PromptTokens>;

    /// What every stage of a request has to do, its text stage included; with the parts that stay in memory between generations
    /// to be read, unless they are `loaded`. `None` where that is not counted, or the model is not here. Called as [`Models::plan`] is.
    fn work(&self, _model: &str, _request: &Generation, _loaded: bool) -> Option<Vec<StageWork>> {
        None
    }

    /// The rates of where the models compute; `None` while they are not known.
    fn rates(&self) -> Option<Arc<KnownRates>> {
        None
    }

    /// Measures a piece of those rates, a few hundredths of a second of the device; says whether anything is left. Called on the
    /// device thread while there is nothing else to do.
    fn measure_rates(&self) -> bool {
        false
    }

    /// Bytes of a model's weights that stay in memory between generations, once each part was used.
    fn resident_bytes(&self, model: &str) -> u64;
}
