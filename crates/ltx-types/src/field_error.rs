//! What is wrong with one field of a request, and the nearest value that would be right.
//!
//! Must not know how the request arrived (flags, protobuf, JSON).

/// A value that a field cannot take. Printed as one sentence: field, value, rule, nearest legal value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {value} {rule}{}", nearest.as_ref().map(|n| format!("; nearest legal: {n}")).unwrap_or_default())]
pub struct FieldError {
    /// The field's name as the caller knows it (`frames`, `width`, …).
    pub field: &'static str,
    /// The value that was given, as text.
    pub value: String,
    /// The rule it breaks, as the rest of a sentence (`is not a multiple of 32`).
    pub rule: String,
    /// The nearest legal value or values, where there are any.
    pub nearest: Option<String>,
}

impl FieldError {
    /// What stands for a value that may hold a secret.
    pub const HIDDEN: &str = "(not shown)";

    /// A value that may hold a secret breaks a rule; it is not repeated.
    pub fn hidden(field: &'static str, rule: impl Into<String>) -> Self {
        Self::new(field, Self::HIDDEN, rule)
    }

    /// A value breaks a rule and no other value is nearest.
    pub fn new(field: &'static str, value: impl ToString, rule: impl Into<String>) -> Self {
        Self { field, value: value.to_string(), rule: rule.into(), nearest: None }
    }

    /// Adds the nearest legal value.
    #[must_use]
    pub fn nearest(mut self, nearest: impl ToString) -> Self {
        self.nearest = Some(nearest.to_string());
        self
    }
}
