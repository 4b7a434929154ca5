//! The dry run: the verdict that a request would get, in full and in words.
//!
//! Must not know what a request costs; the estimate of memory and time is the engine's.

use crate::{
    ask::Ask,
    config::PolicyConfig,
    refusal::{Ground, Refusal},
    rules::{self, Verdict},
};
use ltx_types::{GenerationDraft, Method};

/// What [`crate::admit`] would say, without the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eligibility(Result<Verdict, Refusal>);

impl Eligibility {
    /// Judges as [`crate::admit`] does. Of the images only their number and frames are looked at.
    pub fn of(ask: &Ask, draft: &GenerationDraft, config: &PolicyConfig) -> Self {
        Self(rules::judge(ask, draft, config))
    }

    /// Whether the request is of the unlimited class.
    pub fn is_unlimited(&self) -> bool {
        self.0.is_ok()
    }

    /// The method it would be admitted under.
    pub fn method(&self) -> Option<Method> {
        self.0.as_ref().ok().map(|verdict| verdict.method)
    }

    /// The model it would run on, where that is decided.
    pub fn model(&self) -> Option<&str> {
        self.0.as_ref().ok().and_then(|verdict| verdict.model.as_deref())
    }

    /// Why not, where it is not.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.0.as_ref().err()
    }

    /// Every reason with its remedy, in table order; none for an unlimited request.
    pub fn grounds(&self) -> impl Iterator<Item = &Ground> {
        self.refusal().into_iter().flat_map(Refusal::grounds)
    }

    /// Why, in plain words.
    pub fn sentence(&self) -> String {
        match &self.0 {
            Ok(verdict) => {
                let what = match verdict.method {
                    Method::ImageToVideo => "a video from one image",
                    Method::StartEndFrames => "a video from a start and an end image",
                };
                let model = verdict.model.as_deref().map_or_else(|| "LTX".to_owned(), |name| format!("LTX ({name})"));
                format!("This is unlimited: {what} with {model}. No credits are deducted.")
            }
            Err(refusal) => {
                let clause = |ground: &Ground| format!("{}. What to do: {}.", ground.why, ground.remedy);
                let clauses: Vec<_> = refusal.grounds().map(clause).collect();
                format!("This is not unlimited, and nothing was deducted: {}", clauses.join(" Also: "))
            }
        }
    }
}
