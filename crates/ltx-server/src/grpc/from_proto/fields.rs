//! What is wrong with fields, collected: rules that hold for a field alone.
//!
//! Must not know which message it came in.

use ltx_types::FieldError;
use prost_types::Timestamp;

/// Everything that was found wrong.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<FieldError>);

impl Faults {
    pub(super) fn add(&mut self, error: FieldError) {
        self.0.push(error);
    }

    /// Whether anything is wrong with a field.
    pub(super) fn has(&self, field: &str) -> bool {
        self.0.iter().any(|error| error.field == field)
    }

    /// Adds what was found elsewhere.
    pub(super) fn append(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// The value, or its fault under the name the field has here.
    pub(super) fn keep<T>(&mut self, checked: Result<T, FieldError>, field: &'static str) -> Option<T> {
        checked.map_err(|error| self.add(FieldError { field, ..error })).ok()
    }

    pub(super) fn unknown(&mut self, field: &'static str, value: i32) {
        self.add(unknown(field, value));
    }

    pub(super) fn length(&mut self, field: &'static str, text: &str, most: usize) {
        if text.len() > most {
            let rule = format!("bytes are more than {most}");
            self.add(FieldError::new(field, text.len(), rule).nearest(most));
        }
    }
}

impl From<Faults> for Vec<FieldError> {
    fn from(faults: Faults) -> Self {
        faults.0
    }
}

/// A number that an enum does not have.
pub(super) fn unknown(field: &'static str, value: i32) -> FieldError {
    FieldError::new(field, value, "is no value of this contract")
}

/// Milliseconds since 1970, rounded up: times of generations are whole milliseconds.
pub(super) fn milliseconds(field: &'static str, time: &Timestamp) -> Result<i64, FieldError> {
    let within = (0..1_000_000_000).contains(&time.nanos);
    let milliseconds = time.seconds.checked_mul(1000).filter(|_| within);
    let milliseconds = milliseconds.and_then(|ms| ms.checked_add((i64::from(time.nanos) + 999_999) / 1_000_000));
    milliseconds.ok_or_else(|| {
        let value = format!("{} s, {} ns", time.seconds, time.nanos);
        FieldError::new(field, value, "is not a time")
    })
}
