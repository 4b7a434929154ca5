//! Everything that is wrong with a request, field by field.
//!
//! Must not know how the request arrived, nor which rules there are.

use crate::FieldError;

/// What is wrong with the fields of one request; at least one of them. Printed as one sentence after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// # Errors
    /// There are some.
    pub fn none(errors: Vec<FieldError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// The same faults, each changed.
    #[must_use]
    pub fn map(self, change: impl FnMut(FieldError) -> FieldError) -> Self {
        Self(self.0.into_iter().map(change).collect())
    }

    /// In the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, FieldError> {
        self.0.iter()
    }
}

impl From<FieldError> for FieldErrors {
    fn from(error: FieldError) -> Self {
        Self(vec![error])
    }
}

impl IntoIterator for FieldErrors {
    type Item = FieldError;
    type IntoIter = std::vec::IntoIter<FieldError>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a FieldErrors {
    type Item = &'a FieldError;
    type IntoIter = std::slice::Iter<'a, FieldError>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, error) in self.iter().enumerate() {
            let between = if i == 0 { "" } else { "; " };
            write!(f, "{between}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for FieldErrors {}

/// Faults as they are found. A field is complained about once: what was found first stands.
#[derive(Debug, Default)]
pub(crate) struct Found(Vec<FieldError>);

impl Found {
    /// Begins with what was found before.
    pub(crate) fn after(known: Vec<FieldError>) -> Self {
        Self(known)
    }

    pub(crate) fn add(&mut self, error: FieldError) {
        if !self.0.iter().any(|known| known.field == error.field) {
            self.0.push(error);
        }
    }

    /// The value, or its faults are added.
    pub(crate) fn keep<T>(&mut self, checked: Result<T, impl Into<FieldErrors>>) -> Option<T> {
        checked.map_err(|errors| errors.into().into_iter().for_each(|error| self.add(error))).ok()
    }

    /// # Errors
    /// Something was found.
    pub(crate) fn nothing(self) -> Result<(), FieldErrors> {
        FieldErrors::none(self.0)
    }

    /// What was kept, as a whole.
    ///
    /// # Errors
    /// Something was found; where a value is missing, something was.
    pub(crate) fn all<T>(self, kept: Option<T>) -> Result<T, FieldErrors> {
        match kept {
            Some(kept) if self.0.is_empty() => Ok(kept),
            _ => Err(FieldErrors(self.0)),
        }
    }
}
