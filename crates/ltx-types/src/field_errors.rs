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
pub struct Faults(Vec<FieldError>);

impl Faults {
    /// Begins with what was found before.
    pub fn after(known: Vec<FieldError>) -> Self {
        Self(known)
    }

    /// Adds a fault, unless its field has one.
    pub fn add(&mut self, error: FieldError) {
        if !self.has(error.field) {
            self.0.push(error);
        }
    }

    /// Adds what was found elsewhere.
    pub fn append(&mut self, errors: impl IntoIterator<Item = FieldError>) {
        errors.into_iter().for_each(|error| self.add(error));
    }

    /// Whether anything is wrong with a field.
    pub fn has(&self, field: &str) -> bool {
        self.0.iter().any(|known| known.field == field)
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value, or its faults are added.
    pub fn keep<T>(&mut self, checked: Result<T, impl Into<FieldErrors>>) -> Option<T> {
        checked.map_err(|errors| self.append(Into::<FieldErrors>::into(errors))).ok()
    }

    /// The value, or its fault under the name that the field has in this request.
    pub fn keep_as<T>(&mut self, field: &'static str, checked: Result<T, FieldError>) -> Option<T> {
        self.keep(checked.map_err(|error| FieldError { field, ..error }))
    }

    /// # Errors
    /// Something was found.
    pub fn nothing(self) -> Result<(), FieldErrors> {
        FieldErrors::none(self.0)
    }

    /// What was kept, as a whole.
    ///
    /// # Errors
    /// Something was found; where a value is missing, something was.
    pub fn all<T>(self, kept: Option<T>) -> Result<T, FieldErrors> {
        match kept {
            Some(kept) if self.0.is_empty() => Ok(kept),
            _ => Err(FieldErrors(self.0)),
        }
    }
}

impl IntoIterator for Faults {
    type Item = FieldError;
    type IntoIter = std::vec::IntoIter<FieldError>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<Faults> for Vec<FieldError> {
    fn from(faults: Faults) -> Self {
        faults.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_complained_about_once() {
        let fault = |field, value: i32| FieldError::new(field, value, "is wrong");
        let mut faults = Faults::after(vec![fault("width", 1)]);
        faults.append([fault("width", 2), fault("height", 3)]);
        assert_eq!(faults.keep_as("end_strength", Err::<(), _>(fault("strength", 4))), None);
        assert_eq!(faults.keep(Ok::<_, FieldError>(5)), Some(5));
        assert!(faults.has("end_strength") && !faults.has("strength") && !faults.is_empty());
        let found: Vec<_> = faults.into_iter().map(|fault| (fault.field, fault.value)).collect();
        assert_eq!(found, [("width", "1".into()), ("height", "3".into()), ("end_strength", "4".to_owned())]);
    }
}
