//! Reading configurations out of a checkpoint's JSON, and refusing what is not implemented by name and value.
//!
//! Must not know where the JSON came from.

use ltx_nn::{FrequencyPrecision, NnError, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The section `name` of the checkpoint's configuration, as raw JSON.
///
/// # Errors
/// The section is missing.
pub fn section<'a>(config: &'a Value, name: &'static str) -> Result<&'a Value> {
    config.get(name).ok_or_else(|| NnError::unsupported(name, "absent", "the section that official files carry"))
}

/// Deserialises a section.
///
/// # Errors
/// A field is missing or of the wrong type.
pub(crate) fn parse<T: DeserializeOwned>(section: &Value, part: &'static str) -> Result<T> {
    T::deserialize(section).map_err(|source| NnError::BadConfig { part, source })
}

/// Refuses a field whose value is another than `supported`; an absent field reads as `null`.
pub(crate) fn require(section: &Value, field: &str, supported: &Value) -> Result<()> {
    let found = section.get(field).unwrap_or(&Value::Null);
    if found == supported { Ok(()) } else { Err(NnError::unsupported(field, found, supported.to_string())) }
}

/// Refuses a number outside `range`; a checkpoint's numbers decide sizes and loop counts.
pub(crate) fn within(field: &str, value: usize, range: std::ops::RangeInclusive<usize>) -> Result<()> {
    if range.contains(&value) { Ok(()) } else { Err(NnError::unsupported(field, value, format!("{range:?}"))) }
}

/// How precisely a RoPE grid is computed, from the field `frequencies_precision`.
pub(crate) fn frequency_precision(stated: Option<&str>) -> FrequencyPrecision {
    match stated {
        Some("float64") => FrequencyPrecision::F64,
        _ => FrequencyPrecision::F32,
    }
}

/// The value of a field that means yes where it is absent.
pub(crate) fn yes() -> bool {
    true
}
