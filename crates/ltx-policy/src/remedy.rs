//! What to do where a reason holds: the one place that says it, for refusals and for the faults that tests of clients ask for.
//!
//! Must not know why a reason holds.

use crate::{config::PolicyConfig, refusal::Reason};

/// What a user says to get LTX.
pub(crate) const SAY_LTX: &str = "“Use Carat Basic Video (LTX 2.3)”";

impl Reason {
    /// What to do instead, as a clause for people, at a node of this configuration.
    pub fn remedy(self, config: &PolicyConfig) -> String {
        match self {
            Self::NotAnUnlimitedMethod => "attach an image, or a start and an end image".to_owned(),
            Self::ElementEditingNotSupported => "generate again from an image".to_owned(),
            Self::AudioNotCovered => "ask without audio".to_owned(),
            Self::ExternalModelNotCovered => format!("say {SAY_LTX}"),
            Self::LowCredits => {
                "use Agent 1.0 (web: the v1 tab; app: Home → Menu → Agent 2.0 → Agent 1.0), or top up".to_owned()
            }
            Self::PlanNotCovered => one_of("the plans that carry it", config.plans().iter().map(String::as_str)),
            Self::UnknownModel => one_of("the names it knows", config.names().known().iter().map(|model| model.name())),
            Self::ModelNotLoaded => {
                let loaded = config.loaded();
                let what = match loaded[..] {
                    [] => "wait until the node is ready",
                    _ => "name one of them; the node's operator can let another name mean one of them ([aliases])",
                };
                format!("{}; {what}", one_of("the models that are loaded", loaded))
            }
        }
    }
}

fn one_of<'a>(what: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    match names.into_iter().collect::<Vec<_>>()[..] {
        [] => format!("{what}: none"),
        ref names => format!("{what}: {}", names.join(", ")),
    }
}
