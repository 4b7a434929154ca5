//! Why a request is not of the unlimited class, and what to do instead.
//!
//! Must not know wire codes; `ltx-server` maps reasons to them.

use serde::Serialize;

/// One reason, in the order of the policy table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// Neither one image nor a start and an end image.
    NotAnUnlimitedMethod,
    /// The model belongs to another vendor.
    ExternalModelNotCovered,
    /// The model's name is neither LTX's nor on the external list.
    UnknownModel,
}

impl Reason {
    /// The stable name that clients match on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAnUnlimitedMethod => "NOT_AN_UNLIMITED_METHOD",
            Self::ExternalModelNotCovered => "EXTERNAL_MODEL_NOT_COVERED",
            Self::UnknownModel => "UNKNOWN_MODEL",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Every reason that holds, in table order, each with its remedy. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct Refusal {
    grounds: Vec<(Reason, String)>,
}

impl Refusal {
    /// `None` when there is no ground to refuse.
    pub(crate) fn from_grounds(mut grounds: Vec<(Reason, String)>) -> Option<Self> {
        grounds.sort_by_key(|(reason, _)| *reason);
        (!grounds.is_empty()).then_some(Self { grounds })
    }

    /// The first reason in table order; it decides the status.
    pub fn reason(&self) -> Reason {
        self.grounds.first().map_or(Reason::NotAnUnlimitedMethod, |(reason, _)| *reason)
    }

    /// Reasons with their remedies, in table order.
    pub fn grounds(&self) -> impl Iterator<Item = (Reason, &str)> {
        self.grounds.iter().map(|(reason, remedy)| (*reason, remedy.as_str()))
    }

    fn sentence(&self) -> String {
        let parts: Vec<_> = self.grounds().map(|(reason, remedy)| format!("{reason}: {remedy}")).collect();
        format!("not of the unlimited class: {}", parts.join("; "))
    }
}
