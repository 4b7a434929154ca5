//! Why a request is not of the unlimited class, and what to do instead.
//!
//! Must not know wire codes; `ltx-server` maps reasons to them.

use serde::Serialize;

/// One reason, in the order of the policy table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// Neither one image nor a start and an end image.
    NotAnUnlimitedMethod,
    /// Elements inside a generated video were to be edited.
    ElementEditingNotSupported,
    /// Sound was asked for; it would deduct credits.
    AudioNotCovered,
    /// The model belongs to another vendor; it would deduct credits.
    ExternalModelNotCovered,
    /// Agent 2.0's own work uses credits, and they are low.
    LowCredits,
    /// The plan does not carry the benefit.
    PlanNotCovered,
    /// The model's name is neither LTX's nor on the external list.
    UnknownModel,
    /// An LTX model that this node knows and has not loaded.
    ModelNotLoaded,
}

impl Reason {
    /// Every reason, in table order.
    pub const ALL: [Self; 8] = [
        Self::NotAnUnlimitedMethod,
        Self::ElementEditingNotSupported,
        Self::AudioNotCovered,
        Self::ExternalModelNotCovered,
        Self::LowCredits,
        Self::PlanNotCovered,
        Self::UnknownModel,
        Self::ModelNotLoaded,
    ];

    /// The stable name that clients match on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAnUnlimitedMethod => "NOT_AN_UNLIMITED_METHOD",
            Self::ElementEditingNotSupported => "ELEMENT_EDITING_NOT_SUPPORTED",
            Self::AudioNotCovered => "AUDIO_NOT_COVERED",
            Self::ExternalModelNotCovered => "EXTERNAL_MODEL_NOT_COVERED",
            Self::LowCredits => "LOW_CREDITS",
            Self::PlanNotCovered => "PLAN_NOT_COVERED",
            Self::UnknownModel => "UNKNOWN_MODEL",
            Self::ModelNotLoaded => "MODEL_NOT_LOADED",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One reason that holds: why it does, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ground {
    /// The reason.
    pub reason: Reason,
    /// Why it holds here, as a clause for people.
    pub why: String,
    /// What to do instead, as a clause for people.
    pub remedy: String,
    /// Whether it holds only until the node has loaded its model.
    #[serde(skip)]
    pub passes: bool,
}

/// Every reason that holds, in table order. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not of the unlimited class: {}", self.clauses())]
pub struct Refusal {
    first: Ground,
    rest: Vec<Ground>,
}

impl Refusal {
    /// Puts the grounds into table order.
    pub(crate) fn new(mut first: Ground, more: impl IntoIterator<Item = Ground>) -> Self {
        let mut rest: Vec<Ground> = more.into_iter().collect();
        for ground in &mut rest {
            if ground.reason < first.reason {
                std::mem::swap(ground, &mut first);
            }
        }
        rest.sort_by_key(|ground| ground.reason);
        Self { first, rest }
    }

    /// The first reason in table order; it decides the status.
    pub fn reason(&self) -> Reason {
        self.first.reason
    }

    /// Whether the same request may be admitted in a moment.
    pub fn passes(&self) -> bool {
        self.grounds().all(|ground| ground.passes)
    }

    /// The grounds, in table order.
    pub fn grounds(&self) -> impl Iterator<Item = &Ground> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// `REASON: why; remedy`, one after another.
    fn clauses(&self) -> String {
        let clause = |ground: &Ground| format!("{}: {}; {}", ground.reason, ground.why, ground.remedy);
        self.grounds().map(clause).collect::<Vec<_>>().join(". ")
    }
}

impl Serialize for Refusal {
    /// The list of grounds.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.grounds())
    }
}
