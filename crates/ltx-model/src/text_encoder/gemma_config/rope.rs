//! RoPE of a Gemma-3's global and sliding layers, in both spellings: transformers 4 writes `rope_theta`, `rope_local_base_freq` and
//! `rope_scaling`, transformers 5 `rope_parameters`, either for each type of layer or, flat, for the global ones.
//!
//! Must not know how angles are computed.

use crate::config::{NO_SUCH_ENTRY, positive};
use ltx_nn::{NnError, Result};
use serde_json::{Map, Value};

/// RoPE of one type of layer: its base, and by what positions are divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rope {
    pub(super) theta: f64,
    pub(super) factor: f64,
}

/// RoPE of both types of layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ropes {
    pub(super) global: Rope,
    pub(super) sliding: Rope,
}

/// A number, and the entry that states it.
type Said = Option<(String, f64)>;

/// What is stated of one type of layer.
#[derive(Debug, Default)]
struct Stated {
    theta: Said,
    factor: Said,
}

const THETA_OF_GLOBAL: f64 = 1_000_000.0;
const THETA_OF_SLIDING: f64 = 10_000.0;
const TYPES: [&str; 2] = ["full_attention", "sliding_attention"];

impl Ropes {
    /// # Errors
    /// A type of RoPE or an entry that is not implemented, a number that is none, or two entries that say different things.
    pub(super) fn from_json(text: &Value) -> Result<Self> {
        let mut all = [Stated::default(), Stated::default()];
        all[0].theta = number(text, "rope_theta", "rope_theta")?;
        all[1].theta = number(text, "rope_local_base_freq", "rope_local_base_freq")?;
        for spelling in ["rope_scaling", "rope_parameters"] {
            if let Some([global, sliding]) = spelled(text, spelling)? {
                all[0].join(global)?;
                all[1].join(sliding)?;
            }
        }
        let [global, sliding] = all;
        Ok(Self { global: global.resolved(THETA_OF_GLOBAL), sliding: sliding.resolved(THETA_OF_SLIDING) })
    }
}

impl Stated {
    /// Adds what another spelling states.
    fn join(&mut self, other: Self) -> Result<()> {
        join(&mut self.theta, other.theta)?;
        join(&mut self.factor, other.factor)
    }

    fn resolved(self, usual: f64) -> Rope {
        let number = |said: Said, usual| said.map_or(usual, |(_, number)| number);
        Rope { theta: number(self.theta, usual), factor: number(self.factor, 1.0) }
    }
}

fn join(said: &mut Said, other: Said) -> Result<()> {
    match (said.as_ref(), other) {
        (Some((first, number)), Some((entry, found))) if *number != found => {
            Err(NnError::unsupported(entry, found, format!("{number}, as {first} states")))
        }
        (None, other) => {
            *said = other;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What one spelling says of global and of sliding layers. A flat one speaks of the global layers, as `rope_theta` does.
fn spelled(text: &Value, spelling: &str) -> Result<Option<[Stated; 2]>> {
    let Some(value) = text.get(spelling).filter(|value| !value.is_null()) else { return Ok(None) };
    let entries = object(value, spelling)?;
    if !TYPES.iter().any(|kind| entries.contains_key(*kind)) {
        return Ok(Some([of_one_type(value, spelling)?, Stated::default()]));
    }
    if let Some((key, value)) = entries.iter().find(|(key, value)| !TYPES.contains(&key.as_str()) && !value.is_null()) {
        return Err(NnError::unsupported(format!("{spelling}.{key}"), value, TYPES.join(" and ")));
    }
    let of = |kind: &str| match entries.get(kind).filter(|value| !value.is_null()) {
        Some(value) => of_one_type(value, &format!("{spelling}.{kind}")),
        None => Ok(Stated::default()),
    };
    Ok(Some([of(TYPES[0])?, of(TYPES[1])?]))
}

fn of_one_type(value: &Value, path: &str) -> Result<Stated> {
    let entries = object(value, path)?;
    for (key, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
        match key.as_str() {
            "rope_type" | "type" | "rope_theta" | "factor" => {}
            "partial_rotary_factor" if value.as_f64() == Some(1.0) => {}
            "partial_rotary_factor" => return Err(NnError::unsupported(format!("{path}.{key}"), value, "1")),
            _ => return Err(NnError::unsupported(format!("{path}.{key}"), value, NO_SUCH_ENTRY)),
        }
    }
    let at = |entry: &str| format!("{path}.{entry}");
    let [kind, old] = ["rope_type", "type"].map(|name| entries.get(name).filter(|value| !value.is_null()));
    if let (Some(kind), Some(old)) = (kind, old)
        && kind != old
    {
        return Err(NnError::unsupported(at("type"), old, format!("{kind}, as rope_type states")));
    }
    let factor = number(value, "factor", &at("factor"))?;
    let kind_entry = at(if kind.is_none() && old.is_some() { "type" } else { "rope_type" });
    let factor = match (kind.or(old).map(|kind| kind.as_str().unwrap_or_default()), factor) {
        (Some("linear"), Some(factor)) => Some(factor),
        (Some("linear"), None) => return Err(NnError::unsupported(at("factor"), "absent", "a number above 0")),
        (Some("default"), None) => Some((kind_entry, 1.0)),
        (Some("default"), Some((entry, factor))) if factor != 1.0 => {
            return Err(NnError::unsupported(entry, factor, "none, or the rope_type linear"));
        }
        (Some("default"), factor) => factor,
        (Some(_), _) => {
            let found = kind.or(old).unwrap_or(&Value::Null);
            return Err(NnError::unsupported(kind_entry, found, "linear or default"));
        }
        (None, Some(_)) => return Err(NnError::unsupported(kind_entry, "absent", "linear or default")),
        (None, None) => None,
    };
    Ok(Stated { theta: number(value, "rope_theta", &at("rope_theta"))?, factor })
}

fn object<'a>(value: &'a Value, path: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| NnError::unsupported(path, value, "an object"))
}

fn number(of: &Value, field: &str, path: &str) -> Result<Said> {
    let Some(value) = of.get(field).filter(|value| !value.is_null()) else { return Ok(None) };
    let found = value.as_f64().ok_or_else(|| NnError::unsupported(path, value, "a number above 0"))?;
    positive(path, found)?;
    Ok(Some((path.to_owned(), found)))
}
