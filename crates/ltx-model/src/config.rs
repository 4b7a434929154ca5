//! Reading configurations out of a checkpoint's JSON: every entry is obeyed, is known to mean nothing here, or is refused by name
//! and value.
//!
//! Must not know where the JSON came from.

use ltx_nn::{FrequencyPrecision, NnError, Result};
use ltx_types::json::alike;
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
    if alike(found, supported) { Ok(()) } else { Err(NnError::unsupported(field, found, supported.to_string())) }
}

/// Refuses a field that is not the word `supported`, in capitals or not.
pub(crate) fn require_word(section: &Value, field: &str, supported: &str) -> Result<()> {
    let found = section.get(field).unwrap_or(&Value::Null);
    match found.as_str().is_some_and(|word| word.eq_ignore_ascii_case(supported)) {
        true => Ok(()),
        false => Err(NnError::unsupported(field, found, supported.to_owned())),
    }
}

/// What the entries of a section mean to this engine. An entry that is `null` says nothing and is not looked at.
pub(crate) struct Entries<'a> {
    /// What the section is called in messages; empty for the outermost.
    pub(crate) of: &'a str,
    /// Entries that decide something.
    pub(crate) read: &'a [&'a str],
    /// Entries that are implemented with one value, as JSON.
    pub(crate) fixed: &'a [(&'a str, &'a str)],
    /// Entries that change no result of what is computed here.
    pub(crate) idle: &'a [&'a str],
    /// Beginnings of such entries.
    pub(crate) idle_heads: &'a [&'a str],
}

impl Entries<'_> {
    /// # Errors
    /// The section is no object; the first entry with a value that is not implemented, or that nobody here knows.
    pub(crate) fn check(&self, section: &Value) -> Result<()> {
        let Some(entries) = section.as_object() else {
            let name = if self.of.is_empty() { "configuration" } else { self.of };
            return Err(NnError::unsupported(name, section, "an object"));
        };
        entries.iter().filter(|(_, value)| !value.is_null()).try_for_each(|(key, value)| self.check_one(key, value))
    }

    /// Whether an entry of this name is known.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.is_idle(key) || self.read.contains(&key) || self.fixed.iter().any(|(fixed, _)| *fixed == key)
    }

    fn is_idle(&self, key: &str) -> bool {
        self.idle.contains(&key) || self.idle_heads.iter().any(|head| key.starts_with(head))
    }

    fn check_one(&self, key: &str, value: &Value) -> Result<()> {
        if self.read.contains(&key) || self.is_idle(key) {
            return Ok(());
        }
        let Some((_, supported)) = self.fixed.iter().find(|(fixed, _)| *fixed == key) else {
            return Err(NnError::unsupported(self.name(key), value, NO_SUCH_ENTRY));
        };
        let same = serde_json::from_str(supported).is_ok_and(|supported: Value| alike(value, &supported));
        if same { Ok(()) } else { Err(NnError::unsupported(self.name(key), value, *supported)) }
    }

    fn name(&self, key: &str) -> String {
        if self.of.is_empty() { key.to_owned() } else { format!("{}.{key}", self.of) }
    }
}

/// What is supported in the place of an entry that nobody here knows.
pub(crate) const NO_SUCH_ENTRY: &str = "no entry of this name: what it changes is not known here";

/// The sections of a checkpoint's configuration that this engine reads, and those that mean nothing to it: of the audio stream, of
/// a scheduler (schedules are named by the request).
const SECTIONS: Entries<'static> = Entries {
    of: "",
    read: &["transformer", "vae"],
    fixed: &[],
    idle: &["scheduler", "audio_vae", "vocoder"],
    idle_heads: &[],
};

/// Refuses a checkpoint's configuration with a section that nobody here knows.
///
/// # Errors
/// The first such section.
pub(crate) fn check_sections(config: &Value) -> Result<()> {
    SECTIONS.check(config)
}

/// Refuses a number outside `range`; a checkpoint's numbers decide sizes and loop counts.
pub(crate) fn within(field: &str, value: usize, range: std::ops::RangeInclusive<usize>) -> Result<()> {
    if range.contains(&value) { Ok(()) } else { Err(NnError::unsupported(field, value, format!("{range:?}"))) }
}

/// Refuses a number that is not finite, or not above 0.
pub(crate) fn positive(field: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { Err(NnError::unsupported(field, value, "above 0")) }
}

/// How precisely a RoPE grid is computed, from the field `frequencies_precision`.
pub(crate) fn frequency_precision(stated: Option<&str>) -> FrequencyPrecision {
    match stated {
        Some("float64") => FrequencyPrecision::F64,
        _ => FrequencyPrecision::F32,
    }
}

/// Refuses a precision of the RoPE grid in which none is computed.
pub(crate) fn check_frequency_precision(section: &Value) -> Result<()> {
    const FIELD: &str = "frequencies_precision";
    match section.get(FIELD).filter(|value| !value.is_null()) {
        None => Ok(()),
        Some(stated) if stated == "float64" || stated == "float32" => Ok(()),
        Some(stated) => Err(NnError::unsupported(FIELD, stated, "float64, float32 or none")),
    }
}

/// The value of a field that means yes where it is absent.
pub(crate) fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_are_known_or_refused() {
        let known = Entries { of: "part", read: &["a"], fixed: &[("b", "2")], idle: &["c"], idle_heads: &["audio_"] };
        assert!(known.check(&json!({"a": 1, "b": 2.0, "c": [], "audio_x": 1, "d": null})).is_ok());
        let refusal = |section: Value| known.check(&section).unwrap_err().to_string();
        assert!(refusal(json!({"b": 3})).contains("part.b is 3, supported: 2"));
        assert!(refusal(json!({"d": false})).contains("part.d is false"));
        assert!(refusal(json!([])).contains("an object"));
    }
}
