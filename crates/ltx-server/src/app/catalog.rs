//! The LTX models a node knows, as clients are told of them.
//!
//! Must not know which are loaded; that is the policy's configuration.

use ltx_catalog::Manifest;
use ltx_policy::{KnownModel, WeightFingerprint};
use ltx_types::{Defaults, FieldError};

/// One model.
#[derive(Debug, Clone)]
pub struct ModelCard {
    /// What its manifest says.
    pub manifest: Manifest,
    /// Its weights, once they are known.
    pub weights: Option<WeightFingerprint>,
}

impl From<Manifest> for ModelCard {
    fn from(manifest: Manifest) -> Self {
        Self { manifest, weights: None }
    }
}

/// Every model, the default first; at least one.
#[derive(Debug, Clone)]
pub struct Catalog(Vec<ModelCard>);

impl Catalog {
    /// # Errors
    /// There is no model, or two have the same name.
    pub fn new(cards: Vec<ModelCard>) -> Result<Self, FieldError> {
        let names: Vec<_> = cards.iter().map(|card| card.manifest.name.as_str()).collect();
        if names.is_empty() {
            return Err(FieldError::new("models", "none", "is known; a node needs a manifest"));
        }
        match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            Some((_, name)) => Err(FieldError::new("models", name, "is the name of two manifests")),
            None => Ok(Self(cards)),
        }
    }

    /// The models, the default first.
    pub fn cards(&self) -> &[ModelCard] {
        &self.0
    }

    /// Takes the models' aliases from where names are looked up, the operator's included.
    #[must_use]
    pub fn with_names(mut self, names: &[KnownModel]) -> Self {
        for card in &mut self.0 {
            if let Some(known) = names.iter().find(|known| known.name() == card.manifest.name) {
                known.aliases().clone_into(&mut card.manifest.aliases);
            }
        }
        self
    }

    pub(crate) fn card(&self, name: &str) -> Option<&ModelCard> {
        self.0.iter().find(|card| card.manifest.name == name)
    }

    pub(crate) fn card_mut(&mut self, name: &str) -> Option<&mut ModelCard> {
        self.0.iter_mut().find(|card| card.manifest.name == name)
    }

    /// What a request for a model gets where it is silent; the default model's for a name that is not here.
    pub(crate) fn card_or_default(&self, name: Option<&str>) -> &ModelCard {
        name.and_then(|name| self.card(name)).unwrap_or(&self.0[0])
    }
}

impl ModelCard {
    pub(crate) fn defaults(&self) -> &Defaults {
        &self.manifest.defaults
    }

    /// Whether its manifest names a latent upscaler, which two stages need.
    pub(crate) fn has_upscaler(&self) -> bool {
        self.manifest.files.upscaler.is_some()
    }
}
