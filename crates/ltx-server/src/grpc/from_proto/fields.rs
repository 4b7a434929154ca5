//! Rules that hold for a field of a message alone.
//!
//! Must not know which message it came in.

use ltx_types::{Faults, FieldError};
use prost_types::Timestamp;

/// Adds the fault of a text of more bytes than there may be.
pub(super) fn length(faults: &mut Faults, field: &'static str, text: &str, most: usize) {
    if text.len() > most {
        let rule = format!("bytes are more than {most}");
        faults.add(FieldError::new(field, text.len(), rule).nearest(most));
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
